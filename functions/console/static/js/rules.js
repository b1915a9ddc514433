/**
 * The API's rules for values, applied while a value is typed: those of secret_rules.py, characters.py and schemas.py in
 * layers/service_keys/service_keys/admin, with the same messages; a test compares them. Positions and lengths count
 * characters (code points), as in Python. No message quotes a value.
 */

const MAX_BYTES = 4096;
const MIN_LENGTH = 8;
const MAX_FIELDS = 20;
const FIELD_NAME = /^[A-Za-z][A-Za-z0-9_-]{0,63}$/;
const SERVICE = /^[a-z0-9]+(-[a-z0-9]+)*$/;

/** Unicode's White_Space. Python's str.strip() removes four control characters more. */
const SPACE = "\\t-\\r\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
const TRIMMED = new RegExp(`^[${SPACE}]+|[${SPACE}]+$`, "gu");
const AROUND = new RegExp(`^[${SPACE}\\x1c-\\x1f]|[${SPACE}\\x1c-\\x1f]$`, "u");

const MASKED = [
	/[•●]/u,
	/[∙·⋅‧◦○◯⦁⏺⚫⚪⬤▪■◼⬛█░▒▓∗⁎﹡✱✻✽＊]{3}|\*{3}/u,
	new RegExp(`://[^${SPACE}\\x1c-\\x1f/?#:@]*:\\*+@`, "u"),
	/^[<[({*]{1,3}(?:redacted|masked|hidden|filtered|sensitive(?: value)?)[>\])}*]{1,3}$/iu,
];
const SHORTENED = /^[\p{L}\p{N}_-]{2,20}(?:\.{3,8}|…)[\p{L}\p{N}_-]{2,8}$/u;

const LOST = "\ufffd";
const BLANK = /[\u2800\ufffc]/u;
const IGNORABLE =
	/[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\u{1bca0}-\u{1bca3}\u{1d173}-\u{1d17a}\u{e0000}-\u{e0fff}]/u;
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Noncharacter_Code_Point}]/u;
const TYPOGRAPHIC =
	/[\p{Z}\p{Pd}\p{Pi}\p{Pf}\u201a\u201e\u2032-\u2037\u02b9\u02ba\u02bc\u301d-\u301f\u2212\u2043\u02d7\u2024-\u2026\u2044\ufb00-\ufb06\uff01-\uff5e]/u;
const VARIATION_SELECTOR = /[\u180b-\u180d\u180f\ufe00-\ufe0f\u{e0100}-\u{e01ef}]/u;
const FLAG_OF_A_REGION = /\u{1f3f4}[\u{e0030}-\u{e0039}\u{e0061}-\u{e007a}]{2,6}\u{e007f}/gu;
const EMOJI_BLOCK = /[\u{1f000}-\u{1faff}]/u;
const EMOJI = /[\p{So}\p{Sm}\p{Sk}\p{Me}\ufe0f\u{1f000}-\u{1faff}]/u;
/** Joins consonants of an Indic script (canonical combining class 9). */
const VIRAMA =
	/[\u094d\u09cd\u0a4d\u0acd\u0b4d\u0bcd\u0c4d\u0ccd\u0d3b\u0d3c\u0d4d\u0dca\u0e3a\u0eba\u0f84\u1039\u103a\u1714\u1715\u1734\u17d2\u1a60\u1b44\u1baa\u1bab\u1bf2\u1bf3\u2d7f\ua806\ua82c\ua8c4\ua953\ua9c0\uaaf6\uabed\u{10a3f}\u{11046}\u{11070}\u{1107f}\u{110b9}\u{11133}\u{11134}\u{111c0}\u{11235}\u{112ea}\u{1134d}\u{11442}\u{114c2}\u{115bf}\u{1163f}\u{116b6}\u{1172b}\u{11839}\u{1193d}\u{1193e}\u{119e0}\u{11a34}\u{11a47}\u{11a99}\u{11c3f}\u{11d44}\u{11d45}\u{11d97}]/u;
/** Letters that are written from right to left, as in Arabic; digits of these scripts are not. */
const RIGHT_TO_LEFT =
	/[\u05be-\u05f4\u0608\u060b\u060d\u061b-\u064a\u066d-\u06d5\u06e5\u06e6\u06ee\u06ef\u06fa-\u07f5\u07fa-\u088e\u08a0-\u08c9\u200f\ufb1d-\ufb28\ufb2a-\ufd3d\ufd50-\ufdc7\ufdf0-\ufdfc\ufe70-\ufefc\u{10800}-\u{1091b}\u{10920}-\u{10b35}\u{10b40}-\u{10d23}\u{10e80}-\u{10ff6}\u{1e800}-\u{1eebb}]/u;

/** Unicode names of the characters that are pasted most often. */
const NAMES = {
	"\u00a0": "NO-BREAK SPACE",
	"\u200b": "ZERO WIDTH SPACE",
	"\u2011": "NON-BREAKING HYPHEN",
	"\u2013": "EN DASH",
	"\u2014": "EM DASH",
	"\u2018": "LEFT SINGLE QUOTATION MARK",
	"\u2019": "RIGHT SINGLE QUOTATION MARK",
	"\u201c": "LEFT DOUBLE QUOTATION MARK",
	"\u201d": "RIGHT DOUBLE QUOTATION MARK",
	"\u2026": "HORIZONTAL ELLIPSIS",
	"\ufeff": "ZERO WIDTH NO-BREAK SPACE",
};

/**
 * Return the problems of a secret value, as the API's details; none if it is valid.
 * `update`: it is a new value of a stored key.
 */
export function secretProblems(value, update = false) {
	const problem = (message, field = "key") => ({ field, message });
	if (typeof value === "string") {
		if (value && isMasked(value)) return [problem(maskedValue(update))];
		if (length(value) < MIN_LENGTH) return [problem(`give at least ${MIN_LENGTH} characters`)];
		const found = fieldProblem(value, update);
		return found ? [problem(found)] : sizeProblems(value);
	}
	const entries = typeof value === "object" && value !== null && !Array.isArray(value) ? Object.entries(value) : [];
	if (entries.length < 1 || entries.length > MAX_FIELDS) {
		const stay = update ? "; leave `key` out to keep the stored one" : "";
		return [problem(`give a string, or an object of 1 to ${MAX_FIELDS} named strings${stay}`)];
	}
	if (entries.some(([, text]) => typeof text !== "string")) {
		return [problem("give an object of named strings only; send a file of nested JSON as one string")];
	}
	if (entries.some(([name]) => !FIELD_NAME.test(name))) {
		return [problem("name each field with a letter, then letters, digits, _ or -; at most 64 characters")];
	}
	const found = entries.map(([name, text]) => problem(fieldProblem(text, update), `key.${name}`)).filter((each) => each.message);
	return found.length > 0 ? found : sizeProblems(value);
}

/** Return the problem of one field of a secret value, or null. */
export function fieldProblem(text, update = false) {
	if (!text) return "give a value";
	if (isMasked(text)) return maskedValue(update);
	if (hasWhiteSpaceAround(text)) return "remove the white space before and after it";
	const characters = [...text];
	for (const [index, character] of characters.entries()) {
		if (/[ -~\n\t]/.test(character) || (character === "\r" && characters[index + 1] === "\n")) continue;
		const message = refusedInSecret(character, index);
		if (message) return message;
	}
	return null;
}

/** Return the problem of a value in a service's format, or null. */
export function patternProblem(text, { label, pattern }) {
	try {
		return new RegExp(pattern, "u").test(text) ? null : `this is not the format of ${label}: ${describePattern(pattern)}`;
	} catch {
		return null; // The API applies the pattern in any case.
	}
}

/** Return the problem of a key's name, or null. */
export function nameProblem(text) {
	const name = trim(text);
	if (length(name) < 2) return "give at least 2 characters";
	return length(name) > 100 ? "give at most 100 characters" : textProblem(name, false);
}

/** Return the problem of a description, or null. */
export function descriptionProblem(text) {
	const description = trim(text);
	return length(description) > 500 ? "give at most 500 characters" : textProblem(description.replaceAll("\r\n", "\n"), true);
}

/** Return the problem of a service's name, or null. */
export function serviceProblem(text) {
	if (!SERVICE.test(text)) return "use lower-case letters and digits, with single hyphens between them, such as spotify";
	return text.length > 40 ? "give at most 40 characters" : null;
}

/** Return the problem of a field's name, or null. */
export const fieldNameProblem = (text) =>
	FIELD_NAME.test(text) ? null : "begin with a letter, then letters, digits, _ or -; at most 64 characters";

/** Remove the white space that the API removes around names and descriptions. */
export const trim = (text) => text.replace(TRIMMED, "");

const length = (text) => [...text].length;

function sizeProblems(value) {
	const bytes = new TextEncoder().encode(JSON.stringify(value)).length;
	return bytes > MAX_BYTES ? [{ field: "key", message: `give at most ${MAX_BYTES} bytes in all, as JSON in UTF-8` }] : [];
}

/** The final line break of a value of several lines does not count. */
function hasWhiteSpaceAround(text) {
	const lines = text.replace(/\r?\n$/, "");
	return AROUND.test(lines.includes("\n") ? lines : text);
}

/** A shortened value without a digit, hyphen or underscore can be a passphrase: wait...then */
const isMasked = (text) => MASKED.some((mask) => mask.test(text)) || (SHORTENED.test(text) && /[-_\p{Nd}\p{No}]/u.test(text));

function maskedValue(update) {
	const advice = update
		? "send the whole key, or leave `key` out to keep the stored one"
		: "copy the whole key from the service that issued it";
	return `this is a masked value, not the key; ${advice}`;
}

function refusedInSecret(character, index) {
	if (character === LOST) return "some characters were lost on the way; send the body in UTF-8";
	const where = `character ${index + 1} is ${codePoint(character)}`;
	if ([INVISIBLE, BLANK, IGNORABLE].some((each) => each.test(character))) {
		return `remove the control and invisible characters: ${where}`;
	}
	if (!TYPOGRAPHIC.test(character)) return null;
	return `copy it again as plain text: ${where}, which word processors and chats insert in place of a plain one`;
}

function textProblem(text, multiline) {
<<<<<<< HEAD
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
=======
	if (/\p{Cs}/u.test(text)) return "give valid Unicode text";
	const characters = [...text.replace(FLAG_OF_A_REGION, (flag) => "\u{1f3f4}".repeat(length(flag)))];
	for (const [index, character] of characters.entries()) {
		if (character === LOST) return "some characters were lost on the way: send the body in UTF-8";
		if (multiline && /[\n\t\p{Zs}\p{Co}]/u.test(character)) continue;
		if (isVisible(character) || belongs(characters, index)) continue;
		const advice = multiline
			? "remove control and invisible characters; line breaks and tabs are fine"
			: "use printable characters and plain spaces only";
		return `${advice}: character ${index + 1} is ${codePoint(character)}`;
	}
	return null;
>>>>>>> ui
}

function codePoint(character) {
	const number = character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
	return `U+${number} ${NAMES[character] ?? ""}`.trimEnd();
}

function isVisible(character) {
	if (BLANK.test(character) || IGNORABLE.test(character)) return false;
	return character === " " || !/[\p{C}\p{Z}]/u.test(character) || EMOJI_BLOCK.test(character);
}

/** Return true if an invisible character changes the shape of adjacent ones. */
function belongs(characters, index) {
	const [before = "", character, after = ""] = [characters[index - 1], characters[index], characters[index + 1]];
	if (!before) return false;
	if (VARIATION_SELECTOR.test(character)) return isVisible(before) && !/[ \p{Lu}\p{Ll}\p{Lt}\p{Lm}]/u.test(before);
	const joining = isJoining(characters.slice(0, index)) || VIRAMA.test(before);
	// Persian sets the non-joiner between a foreign word or a number and its ending, too.
	if (character === "\u200c") return VIRAMA.test(before) || ((joining || /[\p{L}\p{N}]/u.test(before)) && isJoining([after]));
	return character === "\u200d" && (joining || VIRAMA.test(after) || (EMOJI.test(before) && EMOJI.test(after)));
}

/** Return true if the text ends in a letter of a joined script such as Arabic. */
const isJoining = (characters) => RIGHT_TO_LEFT.test(characters.findLast((each) => !/\p{Mn}/u.test(each)) ?? "");

/** Describe the usual patterns in words; any other one is shown as it is. */
function describePattern(pattern) {
	const exactly = /^\^\[0-9(a-fA-F|A-Za-z)\]\{(\d+)\}\$$/.exec(pattern);
	if (exactly) return `give exactly ${exactly[2]} ${exactly[1] === "A-Za-z" ? "letters and digits" : "hexadecimal characters"}`;
	const visible = /^\^(?:\(\?!([^)]*)\))?([\w-]*)\[!-~\]\+\$$/.exec(pattern);
	if (!visible) return `give a value that matches ${pattern}`;
	const begins = visible[2] ? `begin with ${visible[2]} and ` : "";
	const others = visible[1]?.replaceAll("[.]", ".").split("|").join(" or ");
	return `${begins}use ASCII characters without white space${others ? `; ${others} begins the key of another service` : ""}`;
}
