/** The audit log. */

export const en = {
  "nav.audit": "Audit log",
  "audit.time": "Time",
  "audit.user": "Who",
  "audit.key": "Key",
  "audit.from": "From",
  "audit.action": "Action",
  "audit.actionHint": "like key.add",
  "audit.target": "To what",
  "audit.outcome": "Outcome",
  "audit.details": "Details",
  "audit.since": "Not before",
  "audit.until": "Before",
  "audit.none": "No row matches.",
  "audit.older": "Older rows",
};

/** @type {typeof en} */
export const tr = {
  "nav.audit": "Denetim kaydı",
  "audit.time": "Zaman",
  "audit.user": "Kim",
  "audit.key": "Anahtar",
  "audit.from": "Nereden",
  "audit.action": "İşlem",
  "audit.actionHint": "örneğin key.add",
  "audit.target": "Neye",
  "audit.outcome": "Sonuç",
  "audit.details": "Ayrıntı",
  "audit.since": "En erken",
  "audit.until": "Şundan önce",
  "audit.none": "Uyan satır yok.",
  "audit.older": "Daha eski satırlar",
};
