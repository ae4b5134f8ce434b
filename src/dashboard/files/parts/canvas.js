/** A canvas that is drawn when it is due (core/frames.js). */
import { html } from "htm/preact";
import { useEffect, useRef } from "preact/hooks";
import { keepDrawing } from "../core/frames.js";

/**
 * @param {Pick<import("../core/frames.js").Drawing, "draw" | "period"> & Record<string, unknown>} props the rest goes to the element
 */
export function Canvas({ draw, period, ...rest }) {
  const canvas = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  // The drawing of the latest props, without beginning anew at each of them.
  const latest = useRef({ draw, period });
  latest.current = { draw, period };
  useEffect(() => {
    if (!canvas.current) return undefined;
    return keepDrawing({
      canvas: canvas.current,
      draw: (context, size) => latest.current.draw(context, size),
      period: () => latest.current.period(),
    });
  }, []);
  return html`<canvas ref=${canvas} ...${rest}></canvas>`;
}
