/**
 * Makes the open end of a growing text look as it will when more has come, so that nothing flickers: what may
 * yet turn out to be a marker is held back, and what is open is closed. Only for text that still grows; a
 * finished text is shown as it is written.
 */

const FENCE = /^\s*(?:(?:[-*+]|\d{1,9}[.)])\s+)*(`{3,}|~{3,})/;
const HELD_TEXT_MAX = 200;
const HELD_PAIR_MAX = 60;
/** Nobody emphasizes within so much emphasis: those are stars. */
const OPEN_MARKERS_MAX = 8;
const MARKERS = new Set("`*_~");

/** Lines that are only a marker so far: of a list, a heading, a quote, a rule, an underline, a fence. */
const ONLY_MARKER =
  /^\s*(?:(?:[-*+]|\d{1,9}[.)]|>)\s+)*(?:[-=*_+](?:\s*[-=*_+])*|\d{1,9}[.)]?|#{1,6}|>|`{1,2}|~{1,2}|(?:`{3,}|~{3,})[^`]*|[-*+]\s+\[[ xX]?\]?)?\s*$/;

export function steady(text: string): string {
  const start = text.lastIndexOf("\n") + 1;
  const before = text.slice(0, start);
  const line = text.slice(start);
  const fence = openFence(before);
  if (fence !== undefined) return before + insideFence(line, fence);
  if (line.trim() === "") return holdTableHead(text);
  if (line.length <= HELD_TEXT_MAX && ONLY_MARKER.test(line)) return holdTableHead(before);
  return holdTableHead(before + steadyLine(line));
}

/** Returns the marker of the fence that is open at the end of the lines. */
function openFence(lines: string): string | undefined {
  let open: string | undefined;
  for (const line of lines.split("\n")) {
    const marker = FENCE.exec(line)?.[1];
    if (marker === undefined) continue;
    if (open === undefined) open = marker;
    else if (marker[0] === open[0] && marker.length >= open.length && line.trim() === marker)
      open = undefined;
  }
  return open;
}

/** A closing fence that is half there would show up as code. */
function insideFence(line: string, fence: string): string {
  const text = line.trim();
  const isHalf = text !== "" && text.length < fence.length && fence.startsWith(text);
  return isHalf ? "" : line;
}

/** A table is one only from its second line on. Until then, its head would be a paragraph of bars. */
function holdTableHead(text: string): string {
  const isLineEnd = text.endsWith("\n");
  const lines = (isLineEnd ? text.slice(0, -1) : text).split("\n");
  let first = lines.length;
  while (first > 0 && /^\s*\|/.test(lines[first - 1] ?? "")) first -= 1;
  const rows = lines.slice(first);
  const isHead = rows.length === 1 || (rows.length === 2 && !isLineEnd && /^[\s|:-]*$/.test(rows[1] ?? ""));
  return isHead ? lines.slice(0, first).join("\n") : text;
}

/** Closes emphasis and code that are open at the end of a line, and holds back what is only half a marker. */
function steadyLine(line: string): string {
  const { open, codeAt } = scanInline(line);
  if (codeAt !== undefined) return closeCode(line, codeAt);
  const held = holdBack(line);
  if (open.length > OPEN_MARKERS_MAX) return held;
  const text = held.trimEnd();
  const closers: string[] = [];
  let end = text;
  for (const { marker, at } of open.reverse()) {
    if (at >= end.length) continue;
    const inside = end.slice(at + marker.length);
    if (inside.trim() === "") end = end.slice(0, at).trimEnd();
    else closers.push(marker);
  }
  if (closers.length === 0) return end === text ? held : end;
  return dropPartialCloser(end, closers) + closers.join("");
}

/** `**bold*` is on its way to `**bold**`. */
function dropPartialCloser(text: string, closers: string[]): string {
  const marker = closers[0] ?? "";
  const char = marker[0] ?? "";
  return marker.length > 1 && text.endsWith(char) && !text.endsWith(`\\${char}`) ? text.slice(0, -1) : text;
}

function closeCode(line: string, codeAt: number): string {
  const ticks = /^`+/.exec(line.slice(codeAt))?.[0] ?? "`";
  const inside = line.slice(codeAt + ticks.length);
  const before = line.slice(0, codeAt);
  if (inside.replaceAll("`", "").trim() === "") return before;
  return before + ticks + inside.replace(/`+$/, "") + ticks;
}

/** Cuts or completes a link, a tag, a reference or an escape that is half there. */
function holdBack(line: string): string {
  const toText = line.replace(
    /(!?)\[([^[\]]*)\]\((?:[^()\s]|\([^()]*\))*(?:\s+"[^"]*"?)?$/,
    (_all, bang, text) => (bang === "!" ? "" : text),
  );
  if (toText !== line) return toText;
  const pair = /<(sub|sup|kbd|mark|u|b|i|s)>(?:(?!<\/\1>).)*$/i.exec(line.slice(-HELD_PAIR_MAX));
  if (pair) return line.slice(0, -pair[0].length);
  const half = /(?:!?\[[^[\]]*\]?|!|<(?:[a-zA-Z/!][^<>]*)?|&#?\w{0,31}|\\)$/.exec(line);
  return half && half[0].length <= HELD_TEXT_MAX ? line.slice(0, half.index) : line;
}

interface OpenMarker {
  marker: string;
  at: number;
}

/** Finds emphasis that is open at the end of the line, and where code begins that is not closed. */
function scanInline(line: string): { open: OpenMarker[]; codeAt: number | undefined } {
  const open: OpenMarker[] = [];
  let at = 0;
  while (at < line.length) {
    const char = line[at] ?? "";
    // Counted at markers only: a line of one character would be counted anew from each place in it.
    const run = MARKERS.has(char) ? runAt(line, at) : 1;
    if (char === "\\") {
      at += 2;
    } else if (char === "`") {
      const end = closingTicks(line, at, run);
      if (end === undefined) return { open, codeAt: at };
      at = end;
    } else if (char === "*" || char === "_" || (char === "~" && run === 2)) {
      scanRun(line, at, run, open);
      at += run;
    } else {
      at += 1;
    }
  }
  return { open, codeAt: undefined };
}

function runAt(line: string, at: number): number {
  let end = at + 1;
  while (line[end] === line[at]) end += 1;
  return end - at;
}

function closingTicks(line: string, at: number, run: number): number | undefined {
  let search = at + run;
  while (search < line.length) {
    const start = line.indexOf("`", search);
    if (start < 0) return undefined;
    const length = runAt(line, start);
    if (length === run) return start + length;
    search = start + length;
  }
  return undefined;
}

function scanRun(line: string, at: number, run: number, open: OpenMarker[]): void {
  const char = line[at] ?? "";
  const before = line[at - 1] ?? " ";
  const after = line[at + run] ?? "";
  const isInWord = char === "_" && isWordCharacter(before) && isWordCharacter(after);
  if (isInWord || run > 3) return;
  const left = isSpace(before) ? run : run - closeMarkers(char, run, open);
  const canOpen = left > 0 && (after === "" || !isSpace(after));
  // A run of three is strong within em; the order does not show.
  if (canOpen && left === 3) open.push({ marker: char, at }, { marker: char + char, at: at + 1 });
  else if (canOpen) open.push({ marker: char.repeat(left), at: at + run - left });
}

/** Closes what the run can close; returns how many of its characters that takes. */
function closeMarkers(char: string, run: number, open: OpenMarker[]): number {
  let used = 0;
  for (;;) {
    const marker = open.at(-1)?.marker;
    if (marker?.[0] !== char || used + marker.length > run) return used;
    open.pop();
    used += marker.length;
  }
}

function isSpace(char: string): boolean {
  return /\s/.test(char);
}

function isWordCharacter(char: string): boolean {
  return /[\p{L}\p{N}]/u.test(char);
}
