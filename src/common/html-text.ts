/** A text as it stands in a page or in an attribute, where it is nothing but text. */
export function htmlText(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => `&#${character.codePointAt(0)};`);
}
