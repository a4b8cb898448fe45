/* What is printed from the table of settings: bounds for errors, defaults, the sample, the
 * manual. */
#include <inttypes.h>
#include <string.h>

#include "base/buf.h"
#include "conf/number.h"
#include "conf/schema.h"

enum { TEXT_MOST = 256 << 10 };

static struct slice
value_text(const struct schema_row *row, uint64_t v, struct arena *a)
{
	if (row->type == SCHEMA_SIZE)
		return number_size_text(v, a);
	if (row->type == SCHEMA_DURATION)
		return number_duration_text(v, a);
	return arena_printf(a, "%" PRIu64, v);
}

struct slice
schema_type_text(const struct schema_row *row, struct arena *a)
{
	const char *what = "";
	switch (row->type) {
	case SCHEMA_OWN: return slice_of(row->syntax);
	case SCHEMA_FLAG: return SLICE("");
	case SCHEMA_NAME: return SLICE("a host name");
	case SCHEMA_TEXT: return SLICE("a text");
	case SCHEMA_FILE: return SLICE("the name of a file");
	case SCHEMA_NUMBER: what = "a number"; break;
	case SCHEMA_SIZE: what = "a size"; break;
	case SCHEMA_DURATION: what = "a duration"; break;
	}
	struct slice least = value_text(row, row->least, a),
		     most = value_text(row, row->most, a);
	return arena_printf(a, "%s from %.*s to %.*s", what, SLICE_ARG(least), SLICE_ARG(most));
}

struct slice
schema_default_text(const struct schema_row *row, struct arena *a)
{
	if (row->initial_text != NULL)
		return slice_of(row->initial_text);
	if (row->initial != 0)
		return value_text(row, row->initial, a);
	return SLICE("");
}
