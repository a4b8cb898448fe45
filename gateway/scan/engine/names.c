/*
 * What a name comes to where it is opened; see names.h. The MIME walk (parts.c) and libclamav's
 * members (virus.c) go through here alike, so that no place of a name escapes a rule that
 * another place would meet.
 */
#include "engine/names.h"

static bool
is_passed_over(char c)
{
	return c == '.' || c == ' ' || c == '\t' || c == '/' || c == '\\';
}

struct slice
plain_name(struct slice s)
{
	while (s.n > 0 && is_passed_over(s.p[s.n - 1]))
		s.n--;
	size_t slash = slice_find_last(s, '/'), back = slice_find_last(s, '\\');
	slash = slash < s.n ? slash + 1 : 0;
	back = back < s.n ? back + 1 : 0;
	return scan_name(slice_from(s, slash > back ? slash : back));
}
