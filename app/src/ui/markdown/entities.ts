/**
 * Character references by name: those of HTML 4, which are the ones people and models write. A browser knows
 * them all, but asking it means giving it a string as HTML, and no text of a model ever goes that way.
 */

const FROM_160 =
  "nbsp iexcl cent pound curren yen brvbar sect uml copy ordf laquo not shy reg macr deg plusmn sup2 sup3 acute " +
  "micro para middot cedil sup1 ordm raquo frac14 frac12 frac34 iquest Agrave Aacute Acirc Atilde Auml Aring " +
  "AElig Ccedil Egrave Eacute Ecirc Euml Igrave Iacute Icirc Iuml ETH Ntilde Ograve Oacute Ocirc Otilde Ouml " +
  "times Oslash Ugrave Uacute Ucirc Uuml Yacute THORN szlig agrave aacute acirc atilde auml aring aelig ccedil " +
  "egrave eacute ecirc euml igrave iacute icirc iuml eth ntilde ograve oacute ocirc otilde ouml divide oslash " +
  "ugrave uacute ucirc uuml yacute thorn yuml";
const FROM_913 =
  "Alpha Beta Gamma Delta Epsilon Zeta Eta Theta Iota Kappa Lambda Mu Nu Xi Omicron Pi Rho  Sigma Tau Upsilon " +
  "Phi Chi Psi Omega";
const FROM_945 =
  "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigmaf sigma tau " +
  "upsilon phi chi psi omega";
const OTHERS =
  "quot34 amp38 apos39 lt60 gt62 OElig338 oelig339 Scaron352 scaron353 Yuml376 fnof402 circ710 tilde732 " +
  "thetasym977 upsih978 piv982 ensp8194 emsp8195 thinsp8201 zwnj8204 zwj8205 lrm8206 rlm8207 ndash8211 " +
  "mdash8212 lsquo8216 rsquo8217 sbquo8218 ldquo8220 rdquo8221 bdquo8222 dagger8224 Dagger8225 bull8226 " +
  "hellip8230 permil8240 prime8242 Prime8243 lsaquo8249 rsaquo8250 oline8254 frasl8260 euro8364 image8465 " +
  "weierp8472 real8476 trade8482 alefsym8501 larr8592 uarr8593 rarr8594 darr8595 harr8596 crarr8629 lArr8656 " +
  "uArr8657 rArr8658 dArr8659 hArr8660 forall8704 part8706 exist8707 empty8709 nabla8711 isin8712 notin8713 " +
  "ni8715 prod8719 sum8721 minus8722 lowast8727 radic8730 prop8733 infin8734 ang8736 and8743 or8744 cap8745 " +
  "cup8746 int8747 sim8764 cong8773 asymp8776 ne8800 equiv8801 le8804 ge8805 sub8834 sup8835 " +
  "nsub8836 sube8838 supe8839 oplus8853 otimes8855 perp8869 sdot8901 lceil8968 rceil8969 lfloor8970 rfloor8971 " +
  "lang9001 rang9002 loz9674 spades9824 clubs9827 hearts9829 diams9830";

const NAMED = new Map<string, string>();
for (const [first, names] of [
  [160, FROM_160],
  [913, FROM_913],
  [945, FROM_945],
] as const) {
  for (const [index, name] of names.split(" ").entries()) NAMED.set(name, String.fromCharCode(first + index));
}
for (const entry of OTHERS.split(" ")) {
  const [, name = "", code = ""] = /^(.+?)(\d{2,4})$/.exec(entry) ?? [];
  NAMED.set(name, String.fromCharCode(Number(code)));
}
NAMED.set("there4", "\u2234");

const REFERENCE = /&(?:#(\d{1,7})|#[xX]([\da-fA-F]{1,6})|([a-zA-Z][a-zA-Z\d]{1,31}));/g;

/** Replaces character references. What is none stays as it is written. */
export function decodeEntities(text: string): string {
  if (!text.includes("&")) return text;
  return text.replace(REFERENCE, (whole, decimal?: string, hex?: string, name?: string) => {
    if (name !== undefined) return NAMED.get(name) ?? whole;
    return codePoint(decimal === undefined ? Number.parseInt(hex ?? "", 16) : Number(decimal));
  });
}

function codePoint(code: number): string {
  const isValid = code > 0 && code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff);
  return isValid ? String.fromCodePoint(code) : "\ufffd";
}
