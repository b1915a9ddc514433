/**
 * The API's rules for values, applied while a value is typed. Each function mirrors one of
 * layers/service_keys/service_keys/admin/{secret_rules,characters,schemas}.py, with the same messages; a test compares
 * them. Positions and lengths count characters (code points), as Python does. No message quotes a value.
 */

const MAX_BYTES = 4096;
const MIN_LENGTH = 8;
const MAX_FIELDS = 20;
const FIELD_NAME = /^[A-Za-z][A-Za-z0-9_-]{0,63}$/;
const SERVICE = /^[a-z0-9]+(-[a-z0-9]+)*$/;

/** White space of Python's str.strip(). */
const SPACE = "[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]";
const AROUND = new RegExp(`^${SPACE}|${SPACE}$`, "u");
/** White space that the API removes around names and descriptions. */
const TRIMMED = /^[\t-\r\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+|[\t-\r\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+$/gu;

const MASKED = [
  /[•●]/u,
  /[∙·⋅‧◦○◯⦁⏺⚫⚪⬤▪■◼⬛█░▒▓∗⁎﹡✱✻✽＊]{3}|\*{3}/u,
  new RegExp(`://(?:(?!${SPACE})[^/?#:@])*:\\*+@`, "u"),
];
const REDACTED = /^[<[({*]{1,3}(?:redacted|masked|hidden|filtered|sensitive(?: value)?)[>\])}*]{1,3}$/iu;
const SHORTENED = /^[\p{L}\p{N}_-]{2,20}(?:\.{3,8}|…)[\p{L}\p{N}_-]{2,8}$/u;
/** A digit, superscripts and circled digits included, as for Python's str.isdigit(). */
const DIGIT_OR_HYPHEN =
  /[-_\p{Nd}\u00b2\u00b3\u00b9\u1369-\u1371\u19da\u2070\u2074-\u2079\u2080-\u2089\u2460-\u2468\u2474-\u247c\u2488-\u2490\u24ea\u24f5-\u24fd\u24ff\u2776-\u277e\u2780-\u2788\u278a-\u2792\u{10a40}-\u{10a43}\u{10e60}-\u{10e68}\u{11052}-\u{1105a}\u{1f100}-\u{1f10a}]/u;

const LOST = "\ufffd";
const BLANK = /^[\u2800\ufffc]$/u;
const IGNORABLE =
  /^[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\u{1bca0}-\u{1bca3}\u{1d173}-\u{1d17a}\u{e0000}-\u{e0fff}]$/u;
const INVISIBLE = /^[\p{Cc}\p{Cf}\p{Cs}\p{Co}]$/u;
const UNPRINTABLE = /^[\p{C}\p{Z}]$/u;
const TYPOGRAPHIC =
  /^[\p{Z}\p{Pd}\p{Pi}\p{Pf}\u201a\u201e\u2032-\u2037\u02b9\u02ba\u02bc\u301d-\u301f\u2212\u2043\u02d7\u2024-\u2026\u2044\ufb00-\ufb06\uff01-\uff5e]$/u;
const VARIATION_SELECTOR = /^[\u180b-\u180d\u180f\ufe00-\ufe0f\u{e0100}-\u{e01ef}]$/u;
const FLAG_OF_A_REGION = /\u{1f3f4}[\u{e0030}-\u{e0039}\u{e0061}-\u{e007a}]{2,6}\u{e007f}/gu;
const EMOJI_BLOCK = /^[\u{1f000}-\u{1faff}]$/u;
const CASED_LETTER = /^[\p{Lu}\p{Ll}\p{Lt}\p{Lm}]$/u;
/** Joins consonants of an Indic script (canonical combining class 9). */
const VIRAMA =
  /^[\u094d\u09cd\u0a4d\u0acd\u0b4d\u0bcd\u0c4d\u0ccd\u0d3b\u0d3c\u0d4d\u0dca\u0e3a\u0eba\u0f84\u1039\u103a\u1714\u1715\u1734\u17d2\u1a60\u1b44\u1baa\u1bab\u1bf2\u1bf3\u2d7f\ua806\ua82c\ua8c4\ua953\ua9c0\uaaf6\uabed\u{10a3f}\u{11046}\u{11070}\u{1107f}\u{110b9}\u{11133}\u{11134}\u{111c0}\u{11235}\u{112ea}\u{1134d}\u{11442}\u{114c2}\u{115bf}\u{1163f}\u{116b6}\u{1172b}\u{11839}\u{1193d}\u{1193e}\u{119e0}\u{11a34}\u{11a47}\u{11a99}\u{11c3f}\u{11d44}\u{11d45}\u{11d97}]$/u;
/** Letters of scripts that are written from right to left, with gaps where nothing is assigned. */
const RIGHT_TO_LEFT =
  /^[\u05be-\u05f4\u0608\u060b\u060d\u061b-\u064a\u066d-\u06d5\u06e5\u06e6\u06ee\u06ef\u06fa-\u07f5\u07fa-\u088e\u08a0-\u08c9\u200f\ufb1d-\ufb28\ufb2a-\ufd3d\ufd50-\ufdc7\ufdf0-\ufdfc\ufe70-\ufefc\u{10800}-\u{1091b}\u{10920}-\u{10b35}\u{10b40}-\u{10d23}\u{10e80}-\u{10ff6}\u{1e800}-\u{1eebb}]$/u;
const EMOJI_CATEGORY = /^[\p{So}\p{Sm}\p{Sk}\p{Me}]$/u;

/** Unicode names of the characters that are pasted most often. */
const NAMES = {
  0x00a0: "NO-BREAK SPACE",
  0x00ad: "SOFT HYPHEN",
  0x200b: "ZERO WIDTH SPACE",
  0x200c: "ZERO WIDTH NON-JOINER",
  0x200d: "ZERO WIDTH JOINER",
  0x200e: "LEFT-TO-RIGHT MARK",
  0x2011: "NON-BREAKING HYPHEN",
  0x2013: "EN DASH",
  0x2014: "EM DASH",
  0x2018: "LEFT SINGLE QUOTATION MARK",
  0x2019: "RIGHT SINGLE QUOTATION MARK",
  0x201c: "LEFT DOUBLE QUOTATION MARK",
  0x201d: "RIGHT DOUBLE QUOTATION MARK",
  0x2026: "HORIZONTAL ELLIPSIS",
  0x202f: "NARROW NO-BREAK SPACE",
  0x2060: "WORD JOINER",
  0xfeff: "ZERO WIDTH NO-BREAK SPACE",
};

/**
 * Return the problems of a secret value; empty if it is valid.
 * @param {unknown} value A string, or an object of named strings.
 * @param {boolean} [update] True for a new value of a stored key.
 * @returns {{field: string, message: string}[]}
 */
export function secretProblems(value, update = false) {
  const problem = (field, message) => ({ field, message });
  if (typeof value === "string") {
    if (isMasked(value)) return [problem("key", maskedValue(update))];
    if (length(value) < MIN_LENGTH) return [problem("key", `give at least ${MIN_LENGTH} characters`)];
    const found = fieldProblem(value, update);
    return found ? [problem("key", found)] : sizeProblems(value);
  }
  const names = typeof value === "object" && value !== null && !Array.isArray(value) ? Object.keys(value) : [];
  if (names.length < 1 || names.length > MAX_FIELDS) {
    const stay = update ? "; leave `key` out to keep the stored one" : "";
    return [problem("key", `give a string, or an object of 1 to ${MAX_FIELDS} named strings${stay}`)];
  }
  if (names.some((name) => typeof value[name] !== "string")) {
    return [problem("key", "give an object of named strings only; send a file of nested JSON as one string")];
  }
  if (names.some((name) => !FIELD_NAME.test(name))) {
    return [problem("key", "name each field with a letter, then letters, digits, _ or -; at most 64 characters")];
  }
  const found = names.flatMap((name) => {
    const message = fieldProblem(value[name], update);
    return message ? [problem(`key.${name}`, message)] : [];
  });
  return found.length > 0 ? found : sizeProblems(value);
}

/**
 * Return the problem of one field of a secret value, or null.
 * @param {string} text
 * @param {boolean} [update]
 * @returns {string|null}
 */
export function fieldProblem(text, update = false) {
  if (!text) return "give a value";
  if (isMasked(text)) return maskedValue(update);
  if (hasWhiteSpaceAround(text)) return "remove the white space before and after it";
  const characters = [...text];
  for (const [index, character] of characters.entries()) {
    if (/^[ -~\n\t]$/.test(character) || (character === "\r" && characters[index + 1] === "\n")) continue;
    const message = refusedInSecret(character, index);
    if (message) return message;
  }
  return null;
}

/**
 * Return the problem of a value in a service's format, or null.
 * @param {string} text
 * @param {{label: string, pattern: string}} field
 * @returns {string|null}
 */
export function patternProblem(text, { label, pattern }) {
  let expression;
  try {
    expression = new RegExp(pattern, "u");
  } catch {
    return null; // The API applies the pattern in any case.
  }
  return expression.test(text) ? null : `this is not the format of ${label}: ${describePattern(pattern)}`;
}

/**
 * Return the problem of a key's name, or null.
 * @param {string} text
 * @returns {string|null}
 */
export function nameProblem(text) {
  const name = trim(text);
  if (length(name) < 2) return "give at least 2 characters";
  if (length(name) > 100) return "give at most 100 characters";
  return textProblem(name, false);
}

/**
 * Return the problem of a description, or null.
 * @param {string} text
 * @returns {string|null}
 */
export function descriptionProblem(text) {
  const description = trim(text);
  if (length(description) > 500) return "give at most 500 characters";
  return textProblem(description.replaceAll("\r\n", "\n"), true);
}

/**
 * Return the problem of a service's name, or null.
 * @param {string} text
 * @returns {string|null}
 */
export function serviceProblem(text) {
  if (!SERVICE.test(text)) {
    return "use lower-case letters and digits, with single hyphens between them, such as spotify";
  }
  return text.length > 40 ? "give at most 40 characters" : null;
}

/**
 * Return the problem of a field's name, or null.
 * @param {string} text
 * @returns {string|null}
 */
export function fieldNameProblem(text) {
  return FIELD_NAME.test(text) ? null : "begin with a letter, then letters, digits, _ or -; at most 64 characters";
}

/**
 * Remove the white space that the API removes around names and descriptions.
 * @param {string} text
 * @returns {string}
 */
export function trim(text) {
  return text.replace(TRIMMED, "");
}

function length(text) {
  return [...text].length;
}

function sizeProblems(value) {
  const bytes = new TextEncoder().encode(JSON.stringify(value)).length;
  return bytes > MAX_BYTES ? [{ field: "key", message: `give at most ${MAX_BYTES} bytes in all, as JSON in UTF-8` }] : [];
}

function hasWhiteSpaceAround(text) {
  const lines = text.endsWith("\n") ? text.replace(/\r?\n$/, "") : text;
  return AROUND.test(lines.includes("\n") ? lines : text);
}

function isMasked(text) {
  if (MASKED.some((mask) => mask.test(text)) || REDACTED.test(text)) return true;
  return SHORTENED.test(text) && DIGIT_OR_HYPHEN.test(text);
}

function maskedValue(update) {
  return update
    ? "this is a masked value, not the key; send the whole key, or leave `key` out to keep the stored one"
    : "this is a masked value, not the key; copy the whole key from the service that issued it";
}

function refusedInSecret(character, index) {
  if (character === LOST) return "some characters were lost on the way; send the body in UTF-8";
  const where = `character ${index + 1} is ${codePoint(character)}`;
  if (INVISIBLE.test(character) || BLANK.test(character) || IGNORABLE.test(character) || isNoncharacter(character)) {
    return `remove the control and invisible characters: ${where}`;
  }
  if (TYPOGRAPHIC.test(character)) {
    return `copy it again as plain text: ${where}, which word processors and chats insert in place of a plain one`;
  }
  return null;
}

function textProblem(text, multiline) {
  if (!text.isWellFormed()) return "give valid Unicode text";
  const characters = [...text.replace(FLAG_OF_A_REGION, (flag) => "\u{1f3f4}".repeat([...flag].length))];
  for (const [index, character] of characters.entries()) {
    if (character === LOST) return "some characters were lost on the way: send the body in UTF-8";
    if (multiline && /^[\n\t\p{Zs}\p{Co}]$/u.test(character)) continue;
    if (isVisible(character) || belongs(characters, index)) continue;
    const advice = multiline
      ? "remove control and invisible characters; line breaks and tabs are fine"
      : "use printable characters and plain spaces only";
    return `${advice}: character ${index + 1} is ${codePoint(character)}`;
  }
  return null;
}

function codePoint(character) {
  const number = character.codePointAt(0);
  const name = NAMES[number];
  return `U+${number.toString(16).toUpperCase().padStart(4, "0")}${name ? ` ${name}` : ""}`;
}

function isNoncharacter(character) {
  const number = character.codePointAt(0);
  return (number & 0xfffe) === 0xfffe || (number >= 0xfdd0 && number <= 0xfdef);
}

function isVisible(character) {
  if (BLANK.test(character) || IGNORABLE.test(character)) return false;
  return character === " " || !UNPRINTABLE.test(character) || EMOJI_BLOCK.test(character);
}

/** Return true if an invisible character changes the shape of adjacent ones. */
function belongs(characters, index) {
  const [before, character, after] = [characters[index - 1], characters[index], characters[index + 1] ?? ""];
  if (!before) return false;
  if (VARIATION_SELECTOR.test(character)) return isVisible(before) && before !== " " && !CASED_LETTER.test(before);
  const joining = isJoining(characters.slice(0, index));
  if (character === "\u200c") {
    return VIRAMA.test(before) || ((/^[\p{L}\p{N}]$/u.test(before) || joining) && isJoining([after]));
  }
  if (character === "\u200d") {
    return VIRAMA.test(before) || VIRAMA.test(after) || joining || (isEmoji(before) && isEmoji(after));
  }
  return false;
}

/** Return true if the text ends in a letter of a joined script such as Arabic. */
function isJoining(characters) {
  const base = characters.findLast((character) => !/^\p{Mn}$/u.test(character));
  return base !== undefined && RIGHT_TO_LEFT.test(base);
}

function isEmoji(character) {
  return EMOJI_CATEGORY.test(character) || character === "\ufe0f" || EMOJI_BLOCK.test(character);
}

/** Describe the usual patterns in words; any other one is shown as it is. */
function describePattern(pattern) {
  const exactly = /^\^\[0-9a-fA-F\]\{(\d+)\}\$$/.exec(pattern) ?? /^\^\[0-9a-f\]\{(\d+)\}\$$/.exec(pattern);
  if (exactly) return `give exactly ${exactly[1]} hexadecimal characters (0 to 9, a to f)`;
  const visible = /^\^(?:\(\?!([^)]*)\))?([\w-]*)\[!-~\]\+\$$/.exec(pattern);
  if (!visible) return `give a value that matches ${pattern}`;
  const begins = visible[2] ? `begin with ${visible[2]} and ` : "";
  const excluded = visible[1] ? `; do not begin with ${visible[1].replaceAll("[.]", ".").split("|").join(" or ")}, the prefix of another service` : "";
  return `${begins}use no white space and ASCII characters only${excluded}`;
}
