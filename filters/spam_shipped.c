/*
 * The model that is shipped: one small number for each place of the text features. It was made
 * by contrib/spam on mails of others; it is heard within bounds, and less the more a site has
 * taught its own (spam_score.c).
 *
 * The file, all numbers little-endian:
 *     "POSTSHIP"  u32 version (1)  u32 version of features  u32 bits
 *     u32 what a weight of 1 is, in 1/SPAM_ONE  u32 weights that are not 0
 *     of each, from the lowest place: how many zeros stand before it (seven bits a byte, the
 *     lowest first, the upper bit says that more follow), i8 the weight, not 0
 *     u32 CRC-32C of all before it
 */
#include <string.h>

#include "base/crc32c.h"
#include "filters/spam_score.h"
#include "filters/spam_weigh.h"

enum { FILE_VERSION = 1, HEAD_BYTES = 8 + 5 * 4 };

static const char magic[] = "POSTSHIP";

static struct {
	int8_t weights[SPAM_WEIGHTS];
	uint32_t unit;
} shipped;

static uint32_t
get32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
	       (uint32_t)p[3] << 24;
}

/* One weight and the zeros before it; false: cut, or beyond the last place. */
static bool
step(struct slice *rest, uint32_t *place, int8_t *weight_out)
{
	uint32_t zeros = 0;
	for (unsigned bits = 0;; bits += 7) {
		if (rest->n < 2 || bits > 14)
			return false;
		uint8_t byte = (uint8_t)rest->p[0];
		*rest = slice_from(*rest, 1);
		zeros |= (uint32_t)(byte & 127) << bits;
		if (byte < 128)
			break;
	}
	*place += zeros;
	*weight_out = (int8_t)rest->p[0];
	*rest = slice_from(*rest, 1);
	return *place < SPAM_WEIGHTS && *weight_out != 0;
}

int
spam_shipped_load(struct slice file, struct err *err)
{
	const uint8_t *p = (const uint8_t *)file.p;
	if (file.n < HEAD_BYTES + 4 || memcmp(p, magic, 8) != 0)
		return err_set(err, "not a model of spam to be shipped");
	if (get32(p + file.n - 4) != crc32c(0, p, file.n - 4))
		return err_set(err, "the model is damaged: its check does not fit");
	if (get32(p + 8) != FILE_VERSION || get32(p + 12) != SPAM_FEATURES_VERSION ||
		get32(p + 16) != SPAM_BITS)
		return err_set(err, "a model of another version");
	memset(&shipped, 0, sizeof(shipped));
	struct slice rest = slice_from(slice_first(file, file.n - 4), HEAD_BYTES);
	uint32_t place = 0, n = get32(p + 24);
	for (; rest.n > 0 && n > 0; n--) {
		int8_t weight;
		if (!step(&rest, &place, &weight))
			break;
		shipped.weights[place++] = weight;
	}
	if (rest.n > 0 || n > 0) {
		memset(&shipped, 0, sizeof(shipped));
		return err_set(err, "the weights of the model do not parse");
	}
	shipped.unit = get32(p + 20);
	return 0;
}

double
spam_shipped(const struct spam_features *f)
{
	int64_t sum = 0;
	for (size_t i = 0; i < f->n_text; i++)
		sum += shipped.weights[f->text[i]];
	return spam_logit(sum * shipped.unit, f->n_text);
}
