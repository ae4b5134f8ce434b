/** The reference of the API. Its texts about routes and fields come from the server, in English. */

export const en = {
  "nav.api": "API",
  "api.operations": "Operations",
  "api.search": "Search",
  "api.none": "Nothing in the API has these words.",
  "api.noOperation": "The API has no operation {id}.",
  "api.base": "JSON in, JSON out. Most routes are under /api/v1; those of OpenAI's API are under /v1.",
  "api.credentials":
    "Every request needs a key, as Authorization: Bearer KEY or x-api-key: KEY, or a user and password by HTTP Basic; only the health checks need nothing.",
  "api.errors": "A refusal has a sentence as error, and a code that stays the same. Each answer has an X-Request-Id.",
  "api.document": "The OpenAPI document, for programs",
  "api.back": "All operations",
  "api.isOpen": "Needs no credentials.",
  "api.curl": "In a terminal",
  "api.parameters": "Parameters",
  "api.body": "Body",
  "api.answers": "Answers",
  "api.example": "Example",
  "api.required": "required",
  "api.default": "default",
};

/** @type {typeof en} */
export const tr = {
  "nav.api": "API",
  "api.operations": "İşlemler",
  "api.search": "Ara",
  "api.none": "API'de bu sözcükler geçmiyor.",
  "api.noOperation": "API'de {id} adlı bir işlem yok.",
  "api.base": "Gelen de giden de JSON'dur. Yolların çoğu /api/v1 altındadır; OpenAI API'sininkiler /v1 altındadır.",
  "api.credentials":
    "Her istek bir anahtar ister: Authorization: Bearer KEY ya da x-api-key: KEY; HTTP Basic ile kullanıcı adı ve parola da olur. Yalnızca sağlık denetimleri hiçbir şey istemez.",
  "api.errors":
    "Reddedilen isteğin yanıtında error alanında bir cümle, bir de hiç değişmeyen bir kod vardır. Her yanıtta X-Request-Id bulunur.",
  "api.document": "Programlar için OpenAPI belgesi",
  "api.back": "Bütün işlemler",
  "api.isOpen": "Kimlik bilgisi istemez.",
  "api.curl": "Uçbirimde",
  "api.parameters": "Parametreler",
  "api.body": "Gövde",
  "api.answers": "Yanıtlar",
  "api.example": "Örnek",
  "api.required": "zorunlu",
  "api.default": "varsayılan",
};
