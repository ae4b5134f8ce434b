/** A text of any length, as text; while it grows, its reader stays at its end if that is where it was. */
import { html } from "htm/preact";
import { useLayoutEffect, useRef } from "preact/hooks";

/** Pixels from the end at which somebody still reads the end. */
const NEAR = 40;

/** @param {{ blocks: readonly string[], label: string, isLive?: boolean }} props blocks: as blocks.js makes them */
export function LongText({ blocks, label, isLive = false }) {
  const element = useRef(/** @type {HTMLDivElement | null} */ (null));
  const isAtEnd = useRef(true);
  useLayoutEffect(() => {
    const box = element.current;
    if (isLive && isAtEnd.current && box !== null) box.scrollTop = box.scrollHeight;
  });
  const onScroll = () => {
    const box = element.current;
    if (box !== null) isAtEnd.current = box.scrollHeight - box.scrollTop - box.clientHeight < NEAR;
  };
  return html`<div
    class="long-text"
    ref=${element}
    tabindex="0"
    role="region"
    aria-label=${label}
    aria-busy=${isLive}
    onScroll=${onScroll}
  >
    ${blocks.map((block, index) => html`<${Block} key=${index} text=${block} isLast=${index === blocks.length - 1} />`)}
  </div>`;
}

/** The line break at the end of a block is not shown, but makes an empty line before it visible. @param {{ text: string, isLast: boolean }} props */
function Block({ text, isLast }) {
  return html`<div>${isLast ? text : `${text}\n`}</div>`;
}
