/** What a key means in a field of text. */

/** Keys of an input method for Chinese, Japanese or Korean; Safari says so by this code alone. */
const COMPOSING_KEY_CODE = 229;

/** The key belongs to a word that is still being put together. */
export function isComposing(event: KeyboardEvent): boolean {
  return event.isComposing || event.keyCode === COMPOSING_KEY_CODE;
}

/** Without one, Enter is the only way to begin a line. */
export function hasKeyboard(): boolean {
  return matchMedia("(hover: hover) and (pointer: fine)").matches;
}

export function isSendKey(event: KeyboardEvent): boolean {
  return event.key === "Enter" && !event.shiftKey && !isComposing(event) && hasKeyboard();
}
