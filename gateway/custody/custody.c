/*
 * What all engines of custody share: ids, and the words for results. The engines stand beside:
 * segments.c on local files, fault.c around another.
 */
#include "custody/custody.h"

#include <string.h>
#include <sys/random.h>

#include "base/must.h"

const char *
custody_result_text(enum custody_result r)
{
	static const char *const text[] = {[CUSTODY_OK] = "ok",
		[CUSTODY_FULL] = "full",
		[CUSTODY_FAILED] = "failed",
		[CUSTODY_UNKNOWN] = "unknown"};
	return text[r];
}

void
custody_close(struct custody **c)
{
	if (*c == NULL)
		return;
	(*c)->ops->close(*c);
	*c = NULL;
}

struct custody_id
custody_id_new(void)
{
	struct custody_id id;
	must(getrandom(id.bytes, sizeof(id.bytes), 0) == (ssize_t)sizeof(id.bytes));
	return id;
}

bool
custody_id_eq(const struct custody_id *a, const struct custody_id *b)
{
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

const char *
custody_id_text(const struct custody_id *id, char buf[CUSTODY_ID_TEXT])
{
	static const char digits[] = "0123456789abcdef";
	for (size_t i = 0; i < CUSTODY_ID_BYTES; i++) {
		buf[2 * i] = digits[id->bytes[i] >> 4];
		buf[2 * i + 1] = digits[id->bytes[i] & 15];
	}
	buf[CUSTODY_ID_TEXT - 1] = '\0';
	return buf;
}

static int
digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool
custody_id_parse(struct slice text, struct custody_id *id_out)
{
	if (text.n != CUSTODY_ID_TEXT - 1)
		return false;
	for (size_t i = 0; i < CUSTODY_ID_BYTES; i++) {
		int high = digit(text.p[2 * i]), low = digit(text.p[2 * i + 1]);
		if (high < 0 || low < 0)
			return false;
		id_out->bytes[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}
