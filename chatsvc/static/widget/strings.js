// @ts-check
/** All text that people see, one table per language. Another language is one more table here. */

const en = {
  heading: "Support",
  greeting: "Hello! How can we help?",
  close: "Close chat",
  messages: "Messages",
  input: "Your message",
  placeholder: "Write a message…",
  send: "Send",
  you: "You",
  staff: "Support",
  sending: "Sending…",
  sent: "Sent",
  seen: "Seen",
  waiting: "Not sent yet. Trying again…",
  refused: "Not sent",
  retry: "Retry",
  discard: "Delete",
  newMessage: "1 new message",
  newMessages: "{n} new messages",
  older: "Loading older messages…",
  olderFailed: "Older messages could not be loaded.",
  live: "Connected",
  polling: "Connected, a little slowly",
  connecting: "Connecting…",
  offline: "Offline",
  idle: "Send us a message",
  tooLong: "Too long: {n} of {max} characters",
  sound: "Sound for new messages",
  contact: "Leave your e-mail address so that we can reach you (optional)",
  contactExample: "name@example.com",
  contactSave: "Save",
  contactSkip: "No, thanks",
  contactWrong: "This is not an e-mail address. It should look like name@example.com.",
  contactFailed: "That did not work. Please try again.",
  contactSaved: "Thank you. We can reach you now.",
};

/** @typedef {typeof en} Strings */

/** @type {Strings} */
const de = {
  heading: "Support",
  greeting: "Hallo! Wie können wir helfen?",
  close: "Chat schließen",
  messages: "Nachrichten",
  input: "Ihre Nachricht",
  placeholder: "Nachricht schreiben …",
  send: "Senden",
  you: "Sie",
  staff: "Support",
  sending: "Wird gesendet …",
  sent: "Gesendet",
  seen: "Gesehen",
  waiting: "Noch nicht gesendet. Wird erneut versucht …",
  refused: "Nicht gesendet",
  retry: "Erneut versuchen",
  discard: "Löschen",
  newMessage: "1 neue Nachricht",
  newMessages: "{n} neue Nachrichten",
  older: "Ältere Nachrichten werden geladen …",
  olderFailed: "Ältere Nachrichten konnten nicht geladen werden.",
  live: "Verbunden",
  polling: "Verbunden, etwas verzögert",
  connecting: "Verbindung wird hergestellt …",
  offline: "Offline",
  idle: "Schreiben Sie uns",
  tooLong: "Zu lang: {n} von {max} Zeichen",
  sound: "Ton bei neuen Nachrichten",
  contact: "Ihre E-Mail-Adresse, damit wir Sie erreichen können (freiwillig)",
  contactExample: "name@example.com",
  contactSave: "Speichern",
  contactSkip: "Nein, danke",
  contactWrong: "Das ist keine E-Mail-Adresse. Eine wie name@example.com wäre richtig.",
  contactFailed: "Das hat nicht geklappt. Bitte versuchen Sie es noch einmal.",
  contactSaved: "Danke. Wir können Sie jetzt erreichen.",
};

/** @type {Record<string, Strings>} */
export const LANGUAGES = { en, de };

/** The first of these languages that there is a table for. @param {...(string | null | undefined)} wishes such as `de-AT` */
export function language(...wishes) {
  return wishes.find((wish) => wish && wish.slice(0, 2).toLowerCase() in LANGUAGES) ?? "en";
}

/** All of them as an Accept-Language header, for what the server writes; only what needs no permission across origins. @param {...(string | null | undefined)} wishes */
export function acceptLanguage(...wishes) {
  return [...new Set(wishes.map((wish) => /^[a-z]{2,3}/i.exec(wish ?? "")?.[0]))]
    .filter(Boolean)
    .slice(0, 9)
    .join();
}

/** @param {string} tag @returns {Strings} */
export function strings(tag) {
  return LANGUAGES[tag.slice(0, 2).toLowerCase()];
}
