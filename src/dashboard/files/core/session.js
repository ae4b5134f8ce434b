/**
 * The user that is signed in. A key is kept until the tab is closed; a password nowhere but in memory, as it may open more than this server. Where the
 * server asks for no credentials, everybody is in at once.
 */
import { computed, signal } from "@preact/signals";
import { ApiError, authorization, get, hasCookie, onRefused, sentenceOf } from "./api.js";
import { t } from "./i18n.js";
import { keptInTab } from "./kept.js";

/**
 * @typedef {object} User
 * @property {string} user
 * @property {"admin" | "user" | "viewer"} role
 * @property {boolean} isProven false: the server asks nobody for credentials, so there is nothing to sign out of
 */

const keptKey = keptInTab("key");
/** The page that somebody looked at who left to sign in elsewhere. */
const keptPlace = keptInTab("place");

/** undefined: not known yet. null: nobody. @type {import("@preact/signals").Signal<User | null | undefined>} */
export const session = signal(undefined);

/** Why nobody is signed in, as the server said it; null: nothing went wrong. @type {import("@preact/signals").Signal<string | null>} */
export const refusal = signal(null);

export const role = computed(() => session.value?.role ?? null);
export const isAdmin = computed(() => role.value === "admin");
/** Whether tasks may be submitted, canceled and so on. */
export const maySubmit = computed(() => role.value === "admin" || role.value === "user");

onRefused.call = (sentence) => {
  if (session.value) signOut(sentence);
};

/** The server says so in the page: to find out by asking would be a refusal each time. */
const isOpen = document.querySelector('meta[name="sign-in"]')?.getAttribute("content") === "open";

/** The name of the issuer where people may sign in; empty: there is none. */
export const issuer = document.querySelector('meta[name="sign-on"]')?.getAttribute("content") ?? "";

/** The sign-in with the issuer is beside the page, whatever path a proxy has put before both. @param {string} name */
function signOnUrl(name) {
  return new URL(`./auth/${name}`, document.baseURI);
}

/** Leaves for the issuer, which leads the browser back. */
export function signInElsewhere() {
  keptPlace.set(window.location.hash);
  window.location.assign(signOnUrl("sign_in"));
}

async function isSignedInElsewhere() {
  const answer = await fetch(signOnUrl("session"), { credentials: "same-origin", cache: "no-store" });
  return answer.ok && (await answer.json()).user !== null;
}

/** Signs in with what there is. Where the server cannot be reached it says so in `refusal`, and may be called again. */
export async function begin() {
  const key = keptKey.get();
  if (key === null && !isOpen) {
    if (issuer === "") return signOut();
    try {
      hasCookie.value = await isSignedInElsewhere();
    } catch {
      refusal.value = t("app.unreachable");
      return;
    }
    if (!hasCookie.value) return signOut();
  }
  authorization.value = key === null ? null : bearer(key);
  try {
    await enter();
    if (hasCookie.value) comeBack();
  } catch (error) {
    refusal.value = sentenceOf(error);
    if (error instanceof ApiError && error.status === 401) signOut(refusal.value);
  }
}

function comeBack() {
  const place = keptPlace.get();
  keptPlace.set(null);
  if (place) window.location.hash = place;
}

async function enter() {
  /** @type {Pick<User, "user" | "role">} */
  const me = await get("me");
  refusal.value = null;
  session.value = { ...me, isProven: authorization.value !== null || hasCookie.value };
}

/** @param {string} key @throws {ApiError} it is not taken */
export async function signInWithKey(key) {
  await tryWith(bearer(key));
  keptKey.set(key);
}

/** @param {string} user @param {string} password @throws {ApiError} they are not taken */
export async function signInWithPassword(user, password) {
  const text = new TextEncoder().encode(`${user}:${password}`);
  await tryWith(`Basic ${btoa(String.fromCharCode(...text))}`);
}

/** @param {string} header */
async function tryWith(header) {
  hasCookie.value = false;
  authorization.value = header;
  try {
    await enter();
  } catch (error) {
    authorization.value = null;
    throw error;
  }
}

/** @param {string | null} [sentence] why, if the server ended it */
export function signOut(sentence = null) {
  if (hasCookie.value)
    void fetch(signOnUrl("sign_out"), { method: "POST", credentials: "same-origin" }).catch(() => {});
  hasCookie.value = false;
  keptKey.set(null);
  authorization.value = null;
  session.value = null;
  refusal.value = sentence;
}

/** Other characters than these no header can carry; the server would never see the key as it was typed. @param {string} key */
function bearer(key) {
  return `Bearer ${key.trim().replaceAll(/[^\x21-\x7e]/g, "?")}`;
}
