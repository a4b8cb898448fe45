/*
 * A value into a filter. RFC 4515 3 wants NUL, ( ) * and \ as \XX and allows it of every byte:
 * all that is no letter, digit or one of a few harmless signs is written so.
 */
#include "directory/ldap_filter.h"

static bool
is_plain(char c)
{
	return ascii_alpha(c) || ascii_digit(c) || c == '@' || c == '.' || c == '-' || c == '_';
}

static size_t
escape(struct slice value, char *to)
{
	static const char digits[] = "0123456789abcdef";
	size_t n = 0;
	for (size_t i = 0; i < value.n; i++) {
		unsigned char c = (unsigned char)value.p[i];
		if (is_plain(value.p[i])) {
			to[n++] = value.p[i];
			continue;
		}
		to[n++] = '\\';
		to[n++] = digits[c >> 4];
		to[n++] = digits[c & 15];
	}
	return n;
}

struct slice
ldap_filter(struct slice form, struct slice value, struct arena *a)
{
	size_t uses = 0, n = 0;
	for (size_t i = 0; i + 1 < form.n; i++)
		uses += form.p[i] == '%' && form.p[i + 1] == 's';
	char *to = arena_alloc(a, form.n + uses * 3 * value.n + 1);
	for (size_t i = 0; i < form.n; i++) {
		if (form.p[i] == '%' && i + 1 < form.n && form.p[i + 1] == 's') {
			n += escape(value, to + n);
			i++;
		} else {
			to[n++] = form.p[i];
		}
	}
	return (struct slice){to, n};
}
