/*
 * Entities of HTML, those that mails are written with: "&amp;", "&#65;", "&#x41;". Numbers from
 * 128 to 159 are windows-1252, as browsers read them.
 */
#include "filters/spam_view_priv.h"

/* In order, for the search. */
static const struct {
	struct slice name;
	uint16_t u;
} entities[] = {
	{SLICE("AElig"), 0xc6},
	{SLICE("Aacute"), 0xc1},
	{SLICE("Acirc"), 0xc2},
	{SLICE("Agrave"), 0xc0},
	{SLICE("Aring"), 0xc5},
	{SLICE("Atilde"), 0xc3},
	{SLICE("Auml"), 0xc4},
	{SLICE("Ccedil"), 0xc7},
	{SLICE("ETH"), 0xd0},
	{SLICE("Eacute"), 0xc9},
	{SLICE("Ecirc"), 0xca},
	{SLICE("Egrave"), 0xc8},
	{SLICE("Euml"), 0xcb},
	{SLICE("Iacute"), 0xcd},
	{SLICE("Icirc"), 0xce},
	{SLICE("Igrave"), 0xcc},
	{SLICE("Iuml"), 0xcf},
	{SLICE("NewLine"), 0xa},
	{SLICE("Ntilde"), 0xd1},
	{SLICE("Oacute"), 0xd3},
	{SLICE("Ocirc"), 0xd4},
	{SLICE("Ograve"), 0xd2},
	{SLICE("Oslash"), 0xd8},
	{SLICE("Otilde"), 0xd5},
	{SLICE("Ouml"), 0xd6},
	{SLICE("THORN"), 0xde},
	{SLICE("Tab"), 0x9},
	{SLICE("Uacute"), 0xda},
	{SLICE("Ucirc"), 0xdb},
	{SLICE("Ugrave"), 0xd9},
	{SLICE("Uuml"), 0xdc},
	{SLICE("Yacute"), 0xdd},
	{SLICE("aacute"), 0xe1},
	{SLICE("acirc"), 0xe2},
	{SLICE("aelig"), 0xe6},
	{SLICE("agrave"), 0xe0},
	{SLICE("amp"), 0x26},
	{SLICE("apos"), 0x27},
	{SLICE("aring"), 0xe5},
	{SLICE("atilde"), 0xe3},
	{SLICE("auml"), 0xe4},
	{SLICE("bdquo"), 0x201e},
	{SLICE("bull"), 0x2022},
	{SLICE("ccedil"), 0xe7},
	{SLICE("cent"), 0xa2},
	{SLICE("check"), 0x2713},
	{SLICE("colon"), 0x3a},
	{SLICE("commat"), 0x40},
	{SLICE("copy"), 0xa9},
	{SLICE("deg"), 0xb0},
	{SLICE("divide"), 0xf7},
	{SLICE("eacute"), 0xe9},
	{SLICE("ecirc"), 0xea},
	{SLICE("egrave"), 0xe8},
	{SLICE("emsp"), 0x2003},
	{SLICE("ensp"), 0x2002},
	{SLICE("equals"), 0x3d},
	{SLICE("eth"), 0xf0},
	{SLICE("euml"), 0xeb},
	{SLICE("euro"), 0x20ac},
	{SLICE("frac12"), 0xbd},
	{SLICE("frac14"), 0xbc},
	{SLICE("gt"), 0x3e},
	{SLICE("hearts"), 0x2665},
	{SLICE("hellip"), 0x2026},
	{SLICE("hyphen"), 0x2010},
	{SLICE("iacute"), 0xed},
	{SLICE("icirc"), 0xee},
	{SLICE("iexcl"), 0xa1},
	{SLICE("igrave"), 0xec},
	{SLICE("iquest"), 0xbf},
	{SLICE("iuml"), 0xef},
	{SLICE("laquo"), 0xab},
	{SLICE("larr"), 0x2190},
	{SLICE("ldquo"), 0x201c},
	{SLICE("lpar"), 0x28},
	{SLICE("lrm"), 0x200e},
	{SLICE("lsquo"), 0x2018},
	{SLICE("lt"), 0x3c},
	{SLICE("mdash"), 0x2014},
	{SLICE("middot"), 0xb7},
	{SLICE("minus"), 0x2212},
	{SLICE("nbsp"), 0xa0},
	{SLICE("ndash"), 0x2013},
	{SLICE("ntilde"), 0xf1},
	{SLICE("num"), 0x23},
	{SLICE("oacute"), 0xf3},
	{SLICE("ocirc"), 0xf4},
	{SLICE("ograve"), 0xf2},
	{SLICE("oslash"), 0xf8},
	{SLICE("otilde"), 0xf5},
	{SLICE("ouml"), 0xf6},
	{SLICE("para"), 0xb6},
	{SLICE("percnt"), 0x25},
	{SLICE("period"), 0x2e},
	{SLICE("plusmn"), 0xb1},
	{SLICE("pound"), 0xa3},
	{SLICE("quest"), 0x3f},
	{SLICE("quot"), 0x22},
	{SLICE("raquo"), 0xbb},
	{SLICE("rarr"), 0x2192},
	{SLICE("rdquo"), 0x201d},
	{SLICE("reg"), 0xae},
	{SLICE("rlm"), 0x200f},
	{SLICE("rpar"), 0x29},
	{SLICE("rsquo"), 0x2019},
	{SLICE("sbquo"), 0x201a},
	{SLICE("sect"), 0xa7},
	{SLICE("shy"), 0xad},
	{SLICE("sol"), 0x2f},
	{SLICE("star"), 0x2606},
	{SLICE("szlig"), 0xdf},
	{SLICE("thinsp"), 0x2009},
	{SLICE("thorn"), 0xfe},
	{SLICE("times"), 0xd7},
	{SLICE("trade"), 0x2122},
	{SLICE("uacute"), 0xfa},
	{SLICE("ucirc"), 0xfb},
	{SLICE("ugrave"), 0xf9},
	{SLICE("uuml"), 0xfc},
	{SLICE("yacute"), 0xfd},
	{SLICE("yen"), 0xa5},
	{SLICE("yuml"), 0xff},
	{SLICE("zwj"), 0x200d},
	{SLICE("zwnj"), 0x200c},
};

size_t
spam_entity(struct slice in, uint32_t *u_out)
{
	size_t n = 1;
	uint32_t u = 0;
	in = slice_first(in, 12);
	if (in.n > 2 && in.p[1] == '#') {
		bool hex = ascii_lower(in.p[2]) == 'x';
		size_t first = n = hex ? 3 : 2;
		for (; n < in.n; n++) {
			int d = ascii_hex(in.p[n]);
			if (d < 0 || (!hex && d > 9))
				break;
			u = u > 0x10ffff ? u : u * (hex ? 16 : 10) + (uint32_t)d;
		}
		if (n == first)
			return 0;
		*u_out = u >= 0x80 && u < 0xa0 ? message_windows_1252((unsigned char)u)
			 : u > 0x10ffff || (u >= 0xd800 && u < 0xe000) ? ' '
								       : u;
		return n + (n < in.n && in.p[n] == ';');
	}
	while (n < in.n && (ascii_alpha(in.p[n]) || ascii_digit(in.p[n])))
		n++;
	struct slice name = slice_from(slice_first(in, n), 1);
	size_t from = 0, to = sizeof(entities) / sizeof(entities[0]);
	while (from < to) {
		size_t mid = (from + to) / 2;
		int c = slice_cmp(name, entities[mid].name);
		if (c == 0) {
			*u_out = entities[mid].u;
			return n + (n < in.n && in.p[n] == ';');
		}
		if (c < 0)
			to = mid;
		else
			from = mid + 1;
	}
	return 0;
}
