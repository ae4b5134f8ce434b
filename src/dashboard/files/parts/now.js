/** The time, for what is told relative to it. */
import { useEffect, useState } from "preact/hooks";
import { serverNow } from "../core/store.js";

/**
 * The server's wall clock, Unix milliseconds; whoever uses it is drawn anew each second.
 * @param {boolean} isOn false: it stands still
 */
export function useNow(isOn) {
  const [now, setNow] = useState(serverNow());
  useEffect(() => {
    if (!isOn) return undefined;
    const timer = setInterval(() => {
      if (!document.hidden) setNow(serverNow());
    }, 1000);
    return () => clearInterval(timer);
  }, [isOn]);
  return now;
}
