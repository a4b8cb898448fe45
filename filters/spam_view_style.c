/*
 * How an element looks, as far as it matters for what can be seen of it: hidden, of no size, or
 * of the colour of what is behind it. Only what is said in attributes is known, no style sheet;
 * so a colour that was not said is not taken for one.
 */
#include "filters/spam_view_priv.h"

enum { NEAR = 12 }; /* of 255: no eye tells them apart */

static bool
near(uint32_t a, uint32_t b)
{
	for (unsigned shift = 0; shift < 24; shift += 8) {
		int d = (int)(a >> shift & 0xff) - (int)(b >> shift & 0xff);
		if (d > NEAR || d < -NEAR)
			return false;
	}
	return true;
}

bool
spam_look_hides(const struct spam_look *l, bool sheet)
{
	if (l->hide != 0)
		return true;
	if (!l->coloured || l->text == SPAM_COLOUR_UNKNOWN || l->back == SPAM_COLOUR_UNKNOWN ||
		(!l->painted && sheet))
		return false;
	return near(l->text, l->back);
}

static uint32_t
colour_of(struct slice s)
{
	static const struct {
		const char *name;
		uint32_t colour;
	} named[] = {{"white", 0xffffff}, {"black", 0}, {"red", 0xff0000}, {"green", 0x008000},
		{"blue", 0x0000ff}, {"yellow", 0xffff00}, {"gray", 0x808080},
		{"grey", 0x808080}, {"silver", 0xc0c0c0}, {"navy", 0x000080},
		{"snow", 0xfffafa}, {"ivory", 0xfffff0}, {"ghostwhite", 0xf8f8ff}};
	uint32_t c = 0;
	s = slice_trim(s);
	bool hex = slice_starts(s, SLICE("#"));
	for (size_t i = 0; !hex && i < sizeof(named) / sizeof(named[0]); i++)
		if (slice_eq_nocase(s, slice_of(named[i].name)))
			return named[i].colour;
	if (slice_starts_nocase(s, SLICE("rgb("))) {
		struct slice part, rest = slice_from(s, 4);
		for (int i = 0; i < 3; i++) {
			uint64_t v;
			slice_cut(rest, i < 2 ? ',' : ')', &part, &rest);
			if (!slice_u64(slice_trim(part), &v) || v > 255)
				return SPAM_COLOUR_UNKNOWN;
			c = c << 8 | (uint32_t)v;
		}
		return c;
	}
	if (hex)
		s = slice_from(s, 1);
	if (s.n != 6 && s.n != 3)
		return SPAM_COLOUR_UNKNOWN;
	for (size_t i = 0; i < s.n; i++) {
		int d = ascii_hex(s.p[i]);
		if (d < 0)
			return SPAM_COLOUR_UNKNOWN;
		c = s.n == 6 ? c << 4 | (uint32_t)d : c << 8 | (uint32_t)(d * 17);
	}
	return c;
}

/* Whether a size is none for eyes: up to 1px, a tenth of the text around it. */
static bool
is_tiny(struct slice s)
{
	double value = 0, place = 0;
	size_t i = 0;
	for (; i < s.n && i < 12 && (ascii_digit(s.p[i]) || s.p[i] == '.'); i++) {
		if (s.p[i] == '.') {
			place = 1;
		} else {
			value = value * 10 + (s.p[i] - '0');
			place *= 10;
		}
	}
	if (i == 0)
		return false;
	value = place > 1 ? value / place : value;
	struct slice unit = slice_from(s, i);
	if (slice_starts_nocase(unit, SLICE("px")) || slice_starts_nocase(unit, SLICE("pt")))
		return value < 1.5;
	return value < (slice_starts(unit, SLICE("%")) ? 10 : 0.1);
}

void
spam_look_back(struct spam_look *l, struct slice value)
{
	struct slice first, rest;
	value = slice_trim(value);
	slice_cut(value, ' ', &first, &rest);
	l->back =
		slice_starts_nocase(value, SLICE("rgb(")) ? colour_of(value) : colour_of(first);
	if (slice_find_slice(value, SLICE("url(")) < value.n)
		l->back = SPAM_COLOUR_UNKNOWN;
	l->painted = true;
}

void
spam_look_text(struct spam_look *l, struct slice value)
{
	l->text = colour_of(value);
	l->coloured = true;
	if (slice_starts_nocase(value, SLICE("transparent")))
		l->hide |= SPAM_HIDES;
}

static void
take_declaration(struct spam_look *l, struct slice name, struct slice value)
{
	switch (ascii_lower(name.p[0])) {
	case 'd':
		if (slice_eq_nocase(name, SLICE("display")) &&
			slice_starts_nocase(value, SLICE("none")))
			l->hide |= SPAM_HIDES;
		break;
	case 'v':
		if (slice_eq_nocase(name, SLICE("visibility")) &&
			slice_starts_nocase(value, SLICE("hidden")))
			l->hide |= SPAM_HIDES;
		break;
	case 'o':
		if (slice_eq_nocase(name, SLICE("opacity")) && is_tiny(value))
			l->hide |= SPAM_HIDES;
		break;
	case 'm':
		if (slice_eq_nocase(name, SLICE("mso-hide")) &&
			slice_starts_nocase(value, SLICE("all")))
			l->hide |= SPAM_HIDES;
		if (slice_eq_nocase(name, SLICE("max-height")) && is_tiny(value))
			l->hide |= SPAM_HIDES;
		break;
	case 'f':
		if (!slice_eq_nocase(name, SLICE("font-size")))
			break;
		l->hide &= (uint8_t)~SPAM_TINY;
		if (is_tiny(value))
			l->hide |= SPAM_TINY;
		break;
	case 'c':
		if (slice_eq_nocase(name, SLICE("color")))
			spam_look_text(l, value);
		break;
	case 'b':
		if (slice_eq_nocase(name, SLICE("background")) ||
			slice_eq_nocase(name, SLICE("background-color")) ||
			slice_eq_nocase(name, SLICE("background-image")))
			spam_look_back(l, value);
		break;
	default: break;
	}
}

void
spam_look_style(struct spam_look *l, struct slice style)
{
	struct slice one, name, value;
	while (style.n > 0) {
		slice_cut(style, ';', &one, &style);
		slice_cut(one, ':', &name, &value);
		name = slice_trim(name);
		value = slice_trim(value);
		if (name.n != 0 && value.n != 0)
			take_declaration(l, name, value);
	}
}
