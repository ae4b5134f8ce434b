/** Looks at something anew when tasks have changed, but not each time. */
import { effect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { changedTasks } from "../core/store.js";

/**
 * @param {boolean} isOn
 * @param {number} pause milliseconds between two looks at least
 * @param {() => void} look
 */
export function useTaskNews(isOn, pause, look) {
  const latest = useRef(look);
  latest.current = look;
  useEffect(() => {
    if (!isOn) return undefined;
    /** @type {ReturnType<typeof setTimeout> | null} */
    let timer = null;
    let isFirst = true;
    const stop = effect(() => {
      const { length } = changedTasks.value;
      // The list that it has just loaded has all that was known when the page came.
      if (isFirst || length === 0 || timer !== null) return void (isFirst = false);
      timer = setTimeout(() => {
        timer = null;
        latest.current();
      }, pause);
    });
    return () => {
      stop();
      if (timer !== null) clearTimeout(timer);
    };
  }, [isOn, pause]);
}
