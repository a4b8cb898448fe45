/*
 * The one user of libpsl. The list is the one built into the library: no file is opened, so
 * that it works in a process that may open none, and nothing is to be reloaded. Debian updates
 * it with the library. A suffix that is not on it is taken as one label, as the list's own rule
 * says.
 */
#include <libpsl.h>
#include <string.h>

#include "base/ip.h"
#include "filters/psl.h"

enum { NAME_MOST = 253 };

struct slice
psl_registrable(struct slice name)
{
	if (name.n > 0 && name.p[name.n - 1] == '.')
		name.n--;
	struct ip ip;
	if (name.n == 0 || name.n > NAME_MOST || name.p[0] == '.' || slice_has(name, '\0') ||
		name.p[0] == '[' || ip_parse(name, &ip))
		return SLICE_NONE;
	char text[NAME_MOST + 1];
	for (size_t i = 0; i < name.n; i++)
		text[i] = ascii_lower(name.p[i]);
	text[name.n] = '\0';
	const char *of = psl_registrable_domain(psl_builtin(), text);
	return of == NULL ? SLICE_NONE : slice_from(name, (size_t)(of - text));
}

bool
psl_same(struct slice a, struct slice b)
{
	struct slice of_a = psl_registrable(a), of_b = psl_registrable(b);
	if (of_a.n == 0 || of_b.n == 0)
		return slice_eq_nocase(a, b);
	return slice_eq_nocase(of_a, of_b);
}
