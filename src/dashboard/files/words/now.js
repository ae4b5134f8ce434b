/** The page Now. */

export const en = {
  "nav.now": "Now",
  "now.running": "running",
  "now.waiting": "waiting",
};

/** @type {typeof en} */
export const tr = {
  "nav.now": "Şu an",
  "now.running": "çalışan",
  "now.waiting": "bekleyen",
};
