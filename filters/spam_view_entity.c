/*
 * Entities of HTML, those that mails are written with: "&amp;", "&#65;", "&#x41;". Numbers from
 * 128 to 159 are windows-1252, as browsers read them.
 */
#include "filters/spam_view_priv.h"

/* In order, for the search. */
static const struct {
	const char *name;
	uint16_t u;
} entities[] = {
	{"AElig", 0xc6},
	{"Aacute", 0xc1},
	{"Acirc", 0xc2},
	{"Agrave", 0xc0},
	{"Aring", 0xc5},
	{"Atilde", 0xc3},
	{"Auml", 0xc4},
	{"Ccedil", 0xc7},
	{"ETH", 0xd0},
	{"Eacute", 0xc9},
	{"Ecirc", 0xca},
	{"Egrave", 0xc8},
	{"Euml", 0xcb},
	{"Iacute", 0xcd},
	{"Icirc", 0xce},
	{"Igrave", 0xcc},
	{"Iuml", 0xcf},
	{"NewLine", 0xa},
	{"Ntilde", 0xd1},
	{"Oacute", 0xd3},
	{"Ocirc", 0xd4},
	{"Ograve", 0xd2},
	{"Oslash", 0xd8},
	{"Otilde", 0xd5},
	{"Ouml", 0xd6},
	{"THORN", 0xde},
	{"Tab", 0x9},
	{"Uacute", 0xda},
	{"Ucirc", 0xdb},
	{"Ugrave", 0xd9},
	{"Uuml", 0xdc},
	{"Yacute", 0xdd},
	{"aacute", 0xe1},
	{"acirc", 0xe2},
	{"aelig", 0xe6},
	{"agrave", 0xe0},
	{"amp", 0x26},
	{"apos", 0x27},
	{"aring", 0xe5},
	{"atilde", 0xe3},
	{"auml", 0xe4},
	{"bdquo", 0x201e},
	{"bull", 0x2022},
	{"ccedil", 0xe7},
	{"cent", 0xa2},
	{"check", 0x2713},
	{"colon", 0x3a},
	{"commat", 0x40},
	{"copy", 0xa9},
	{"deg", 0xb0},
	{"divide", 0xf7},
	{"eacute", 0xe9},
	{"ecirc", 0xea},
	{"egrave", 0xe8},
	{"emsp", 0x2003},
	{"ensp", 0x2002},
	{"equals", 0x3d},
	{"eth", 0xf0},
	{"euml", 0xeb},
	{"euro", 0x20ac},
	{"frac12", 0xbd},
	{"frac14", 0xbc},
	{"gt", 0x3e},
	{"hearts", 0x2665},
	{"hellip", 0x2026},
	{"hyphen", 0x2010},
	{"iacute", 0xed},
	{"icirc", 0xee},
	{"iexcl", 0xa1},
	{"igrave", 0xec},
	{"iquest", 0xbf},
	{"iuml", 0xef},
	{"laquo", 0xab},
	{"larr", 0x2190},
	{"ldquo", 0x201c},
	{"lpar", 0x28},
	{"lrm", 0x200e},
	{"lsquo", 0x2018},
	{"lt", 0x3c},
	{"mdash", 0x2014},
	{"middot", 0xb7},
	{"minus", 0x2212},
	{"nbsp", 0xa0},
	{"ndash", 0x2013},
	{"ntilde", 0xf1},
	{"num", 0x23},
	{"oacute", 0xf3},
	{"ocirc", 0xf4},
	{"ograve", 0xf2},
	{"oslash", 0xf8},
	{"otilde", 0xf5},
	{"ouml", 0xf6},
	{"para", 0xb6},
	{"percnt", 0x25},
	{"period", 0x2e},
	{"plusmn", 0xb1},
	{"pound", 0xa3},
	{"quest", 0x3f},
	{"quot", 0x22},
	{"raquo", 0xbb},
	{"rarr", 0x2192},
	{"rdquo", 0x201d},
	{"reg", 0xae},
	{"rlm", 0x200f},
	{"rpar", 0x29},
	{"rsquo", 0x2019},
	{"sbquo", 0x201a},
	{"sect", 0xa7},
	{"shy", 0xad},
	{"sol", 0x2f},
	{"star", 0x2606},
	{"szlig", 0xdf},
	{"thinsp", 0x2009},
	{"thorn", 0xfe},
	{"times", 0xd7},
	{"trade", 0x2122},
	{"uacute", 0xfa},
	{"ucirc", 0xfb},
	{"ugrave", 0xf9},
	{"uuml", 0xfc},
	{"yacute", 0xfd},
	{"yen", 0xa5},
	{"yuml", 0xff},
	{"zwj", 0x200d},
	{"zwnj", 0x200c},
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
		int c = slice_cmp(name, slice_of(entities[mid].name));
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
