/** What the stand-ins for servers say, and those who ask them look for. Apart from them, for importing a stand-in starts it in a child. */

export const UPSTREAM_MODEL = "one-token";
/** By which a streamed answer shows that its token has come: in no other part of an answer, such as the model's name. */
export const TOKEN = "w0rd";
