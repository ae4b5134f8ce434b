/** Things that this browser keeps. Nothing fails where it keeps nothing. */

/**
 * @param {() => Storage} storage asked each time, as a browser may refuse even that
 * @param {string} name
 */
function kept(storage, name) {
  const key = `altlas.${name}`;
  return {
    /** @returns {string | null} */
    get: () => {
      try {
        return storage().getItem(key);
      } catch {
        return null;
      }
    },
    /** @param {string | null} value null: it is forgotten */
    set: (value) => {
      try {
        if (value === null) storage().removeItem(key);
        else storage().setItem(key, value);
      } catch {
        // Then it holds until the page is left.
      }
    },
  };
}

/** Until the tab is closed. @param {string} name */
export const keptInTab = (name) => kept(() => sessionStorage, name);

/** For good. @param {string} name */
export const keptInBrowser = (name) => kept(() => localStorage, name);
