/**
 * The API's rules for values, while a value is typed: those of secret_rules.py, characters.py and schemas.py, with the
 * same messages; a test compares them. Positions and lengths count code points. No message quotes a value.
 */

const MAX_BYTES = 4096
const MIN_LENGTH = 8
const MAX_FIELDS = 20
const FIELD_NAME = /^[A-Za-z][A-Za-z0-9_-]{0,63}$/
const SERVICE = /^[a-z0-9]+(-[a-z0-9]+)*$/

const TRIMMED = /^\p{White_Space}+|\p{White_Space}+$/gu
/** Python strips four control characters more. */
const AROUND = /^[\p{White_Space}\x1c-\x1f]|[\p{White_Space}\x1c-\x1f]$/u

const MASKED = [
	/[•●]/u,
	/[∙·⋅‧◦○◯⦁⏺⚫⚪⬤▪■◼⬛█░▒▓∗⁎﹡✱✻✽＊]{3}|\*{3}/u,
	/:\/\/[^\p{White_Space}\x1c-\x1f/?#:@]*:\*+@/u,
	/^[<[({*]{1,3}(?:redacted|masked|hidden|filtered|sensitive(?: value)?)[>\])}*]{1,3}$/iu
]
const SHORTENED = /^[\p{L}\p{N}_-]{2,20}(?:\.{3,8}|…)[\p{L}\p{N}_-]{2,8}$/u

const LOST = "\ufffd"
const UNSEEN = /[\u2800\ufffc\p{Default_Ignorable_Code_Point}]/u
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Noncharacter_Code_Point}]/u
const TYPOGRAPHIC =
	/[\p{Z}\p{Pd}\p{Pi}\p{Pf}\u201a\u201e\u2032-\u2037\u02b9\u02ba\u02bc\u301d-\u301f\u2212\u2043\u02d7\u2024-\u2026\u2044\ufb00-\ufb06\uff01-\uff5e]/u
const FLAG_OF_A_REGION = /\u{1f3f4}[\u{e0030}-\u{e0039}\u{e0061}-\u{e007a}]{2,6}\u{e007f}/gu
const EMOJI_BLOCK = /[\u{1f000}-\u{1faff}]/u
const EMOJI = /[\p{So}\p{Sm}\p{Sk}\p{Me}\ufe0f\u{1f000}-\u{1faff}]/u
const RIGHT_TO_LEFT = /(?!\p{Nd})[\p{scx=Arab}\p{scx=Hebr}\p{scx=Syrc}\p{scx=Thaa}\p{scx=Nkoo}\p{scx=Adlm}\p{scx=Mand}\p{scx=Rohg}]/u

const NAMES = {
	"\u00a0": "NO-BREAK SPACE",
	"\u200b": "ZERO WIDTH SPACE",
	"\u2011": "NON-BREAKING HYPHEN",
	"\ufeff": "ZERO WIDTH NO-BREAK SPACE"
}

export function secretProblems(value, update = false) {
	const problem = (message, field = "key") => ({field, message})
	if (typeof value === "string") {
		if (value && isMasked(value)) return [problem(maskedValue(update))]
		if (length(value) < MIN_LENGTH) return [problem(`give at least ${MIN_LENGTH} characters`)]
		const found = fieldProblem(value, update)
		return found ? [problem(found)] : sizeProblems(value)
	}
	const entries = typeof value === "object" && value !== null && !Array.isArray(value) ? Object.entries(value) : []
	if (entries.length < 1 || entries.length > MAX_FIELDS) {
		const stay = update ? "; leave `key` out to keep the stored one" : ""
		return [problem(`give a string, or an object of 1 to ${MAX_FIELDS} named strings${stay}`)]
	}
	if (entries.some(([, text]) => typeof text !== "string")) {
		return [problem("give an object of named strings only; send a file of nested JSON as one string")]
	}
	if (entries.some(([name]) => !FIELD_NAME.test(name))) {
		return [problem("name each field with a letter, then letters, digits, _ or -; at most 64 characters")]
	}
	const found = entries.map(([name, text]) => problem(fieldProblem(text, update), `key.${name}`)).filter(each => each.message)
	return found.length > 0 ? found : sizeProblems(value)
}

export function fieldProblem(text, update = false) {
	if (!text) return "give a value"
	if (isMasked(text)) return maskedValue(update)
	if (hasWhiteSpaceAround(text)) return "remove the white space before and after it"
	const characters = [...text]
	for (const [index, character] of characters.entries()) {
		if (/[ -~\n\t]/.test(character) || (character === "\r" && characters[index + 1] === "\n")) continue
		const message = refusedInSecret(character, index)
		if (message) return message
	}
	return null
}

export function patternProblem(text, {label, pattern}) {
	try {
		return new RegExp(pattern, "u").test(text) ? null : `this is not the format of ${label}: ${describePattern(pattern)}`
	} catch {
		return null // The API applies the pattern in any case.
	}
}

export function nameProblem(text) {
	const name = trim(text)
	if (length(name) < 2) return "give at least 2 characters"
	return length(name) > 100 ? "give at most 100 characters" : textProblem(name, false)
}

export function descriptionProblem(text) {
	const description = trim(text)
	return length(description) > 500 ? "give at most 500 characters" : textProblem(description.replaceAll("\r\n", "\n"), true)
}

export function serviceProblem(text) {
	if (!SERVICE.test(text)) return "use lower-case letters and digits, with single hyphens between them, such as spotify"
	return text.length > 40 ? "give at most 40 characters" : null
}

export const fieldNameProblem = text =>
	FIELD_NAME.test(text) ? null : "begin with a letter, then letters, digits, _ or -; at most 64 characters"

export const trim = text => text.replace(TRIMMED, "")

const length = text => [...text].length

function sizeProblems(value) {
	const bytes = new TextEncoder().encode(JSON.stringify(value)).length
	return bytes > MAX_BYTES ? [{field: "key", message: `give at most ${MAX_BYTES} bytes in all, as JSON in UTF-8`}] : []
}

/** The final line break of a value of several lines does not count. */
function hasWhiteSpaceAround(text) {
	const lines = text.replace(/\r?\n$/, "")
	return AROUND.test(lines.includes("\n") ? lines : text)
}

/** A shortened value without a digit, hyphen or underscore can be a passphrase: wait...then */
const isMasked = text => MASKED.some(mask => mask.test(text)) || (SHORTENED.test(text) && /[-_\p{Nd}\p{No}]/u.test(text))

function maskedValue(update) {
	const advice = update
		? "send the whole key, or leave `key` out to keep the stored one"
		: "copy the whole key from the service that issued it"
	return `this is a masked value, not the key; ${advice}`
}

function refusedInSecret(character, index) {
	if (character === LOST) return "some characters were lost on the way; send the body in UTF-8"
	const where = `character ${index + 1} is ${codePoint(character)}`
	if (INVISIBLE.test(character) || UNSEEN.test(character)) {
		return `remove the control and invisible characters: ${where}`
	}
	if (!TYPOGRAPHIC.test(character)) return null
	return `copy it again as plain text: ${where}, which word processors and chats insert in place of a plain one`
}

function textProblem(text, multiline) {
	if (/\p{Cs}/u.test(text)) return "give valid Unicode text"
	const characters = [...text.replace(FLAG_OF_A_REGION, flag => "\u{1f3f4}".repeat(length(flag)))]
	for (const [index, character] of characters.entries()) {
		if (character === LOST) return "some characters were lost on the way: send the body in UTF-8"
		if (multiline && /[\n\t\p{Zs}\p{Co}]/u.test(character)) continue
		if (isVisible(character) || belongs(characters, index)) continue
		const advice = multiline
			? "remove control and invisible characters; line breaks and tabs are fine"
			: "use printable characters and plain spaces only"
		return `${advice}: character ${index + 1} is ${codePoint(character)}`
	}
	return null
}

function codePoint(character) {
	const number = character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")
	return `U+${number} ${NAMES[character] ?? ""}`.trimEnd()
}

function isVisible(character) {
	if (UNSEEN.test(character)) return false
	return character === " " || !/[\p{C}\p{Z}]/u.test(character) || EMOJI_BLOCK.test(character)
}

function belongs(characters, index) {
	const [before = "", character, after = ""] = [characters[index - 1], characters[index], characters[index + 1]]
	if (!before) return false
	if (/\p{Variation_Selector}/u.test(character)) return isVisible(before) && !/[ \p{Lu}\p{Ll}\p{Lt}\p{Lm}]/u.test(before)
	const joining = isJoining(characters.slice(0, index)) || isVirama(before)
	// Persian sets the non-joiner between a foreign word or a number and its ending, too.
	const letter = joining || /[\p{L}\p{N}]/u.test(before)
	if (character === "\u200c") return isVirama(before) || (letter && isJoining([after]))
	return character === "\u200d" && (joining || isVirama(after) || (EMOJI.test(before) && EMOJI.test(after)))
}

/** Joins consonants of an Indic script: its combining class is 9, so NFD sorts it between marks of the classes 8 and 10. */
const isVirama = mark =>
	mark !== "" && `a\u05b0${mark}`.normalize("NFD") === `a${mark}\u05b0` && `a${mark}\u3099`.normalize("NFD") === `a\u3099${mark}`

const isJoining = characters => RIGHT_TO_LEFT.test(characters.findLast(each => !/\p{Mn}/u.test(each)) ?? "")

function describePattern(pattern) {
	const exactly = /^\^\[0-9(a-fA-F|A-Za-z)\]\{(\d+)\}\$$/.exec(pattern)
	if (exactly) return `give exactly ${exactly[2]} ${exactly[1] === "A-Za-z" ? "letters and digits" : "hexadecimal characters"}`
	return `copy it again from the service (pattern ${pattern})`
}
