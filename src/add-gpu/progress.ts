/** How far a long step has got, told ten times at most: also a file that takes the output stays readable. */

/** @param tell is called when another tenth is done */
export function inTenths(tell: (done: number, all: number) => void): (done: number, all: number | null) => void {
  let tenths = 0;
  return (done, all) => {
    const now = all === null ? 0 : Math.floor((done / all) * 10);
    if (all !== null && now > tenths) tell(done, all);
    tenths = Math.max(tenths, now);
  };
}
