/*
 * The model that is shipped: one small number for each place of the text features. It was made
 * by contrib/spam on mails of others; it is heard within bounds, and less the more a site has
 * taught its own (spam_score.c).
 *
 * The file, all numbers little-endian:
 *     "POSTSHIP"  u32 version (1)  u32 version of features  u32 bits
 *     u32 what a weight of 1 is, in 1/SPAM_ONE
 *     half bytes, the lower one first: of each place the weight and 7, or 15 and two more that
 *     are the weight as i8, the lower one first; a 0 where the last byte has one left
 *     u32 CRC-32C of all before it
 */
#include "filters/spam_shipped.h"

#include <pthread.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/little.h"
#include "base/must.h"
#include "filters/spam_score.h"
#include "filters/spam_weigh.h"

enum { FILE_VERSION = 1, HEAD_BYTES = 8 + 4 * 4, SMALL = 7, ESCAPE = 15 };

static const char magic[] = "POSTSHIP";

static struct {
	int8_t weights[SPAM_WEIGHTS];
	uint32_t unit;
} shipped;

struct halves {
	struct slice bytes;
	size_t at; /* in half bytes */
};

static bool
half(struct halves *h, unsigned *value_out)
{
	if (h->at / 2 >= h->bytes.n)
		return false;
	*value_out = (unsigned char)h->bytes.p[h->at / 2] >> h->at % 2 * 4 & 15;
	h->at++;
	return true;
}

static bool
weight(struct halves *h, int8_t *weight_out)
{
	unsigned first, low, high;
	if (!half(h, &first))
		return false;
	if (first < ESCAPE) {
		*weight_out = (int8_t)((int)first - SMALL);
		return true;
	}
	if (!half(h, &low) || !half(h, &high))
		return false;
	*weight_out = (int8_t)(high << 4 | low);
	return true;
}

static bool
read_weights(struct slice bytes)
{
	struct halves h = {bytes, 0};
	for (size_t p = 0; p < SPAM_WEIGHTS; p++)
		if (!weight(&h, &shipped.weights[p]))
			return false;
	unsigned rest = 0;
	if (h.at % 2 == 1)
		half(&h, &rest);
	return rest == 0 && h.at / 2 == bytes.n;
}

static int
load(struct slice file, struct err *err)
{
	const uint8_t *p = (const uint8_t *)file.p;
	if (file.n < HEAD_BYTES + 4 || memcmp(p, magic, 8) != 0)
		return err_set(err, "not a model of spam to be shipped");
	if (little_get_u32(p + file.n - 4) != crc32c(0, p, file.n - 4))
		return err_set(err, "the model is damaged: its check does not fit");
	if (little_get_u32(p + 8) != FILE_VERSION ||
		little_get_u32(p + 12) != SPAM_FEATURES_VERSION ||
		little_get_u32(p + 16) != SPAM_BITS)
		return err_set(err, "a model of another version");
	shipped.unit = little_get_u32(p + 20);
	if (!read_weights(slice_from(slice_first(file, file.n - 4), HEAD_BYTES))) {
		memset(&shipped, 0, sizeof(shipped));
		return err_set(err, "the weights of the model do not parse");
	}
	return 0;
}

static void
load_builtin(void)
{
	struct err err;
	must(load((struct slice){(const char *)spam_model_builtin, spam_model_builtin_bytes},
		     &err) == 0);
}

static pthread_once_t builtin_once = PTHREAD_ONCE_INIT;

int
spam_shipped_load(struct slice file, struct err *err)
{
	pthread_once(&builtin_once, load_builtin);
	return load(file, err);
}

int32_t
spam_shipped(const struct spam_features *f)
{
	pthread_once(&builtin_once, load_builtin);
	int64_t sum = 0, most = (int64_t)SPAM_SHIPPED_MOST * SPAM_ONE;
	for (size_t i = 0; i < f->n_text; i++)
		sum += shipped.weights[f->text[i]];
	sum = (int64_t)(spam_logit(sum * shipped.unit, f->n_text) * SPAM_ONE);
	return (int32_t)(sum > most ? most : sum < -most ? -most : sum);
}
