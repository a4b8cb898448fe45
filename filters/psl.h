/*
 * The registrable domain of a name: what one party registered, by the Public Suffix List that
 * libpsl carries ("a.b.example.co.uk" is of "example.co.uk"). For guesses about who stands
 * behind a name (spam) and for questions to lists of such domains; DMARC walks the DNS instead
 * (RFC 9989), since a decision must not hang on the age of a list.
 */
#ifndef FILTERS_PSL_H
#define FILTERS_PSL_H

#include "base/slice.h"

/*
 * name: A-labels, or lower-case UTF-8; ASCII case and one last dot do not matter. The answer is
 * a part of name without that dot; empty: a public suffix itself, an address, or no name at
 * all.
 */
struct slice psl_registrable(struct slice name);
/* Both are of one registrable domain; a name that has none is of the other's only if equal. */
bool psl_same(struct slice a, struct slice b);

#endif
