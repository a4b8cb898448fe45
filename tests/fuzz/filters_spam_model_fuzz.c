/*
 * Files of models: the bytes are taken as they are, and again behind a head and in front of a
 * check that fit, so that what stands between is read. What is read packs to the same bytes.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/little.h"
#include "base/mem.h"
#include "base/must.h"
#include "filters/spam_score.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
site(struct slice file)
{
	struct err err;
	struct spam_model *m = spam_model_unpack(file, &err);
	if (m == NULL)
		return;
	must(spam_model_file_bytes(m) == file.n);
	uint8_t *again = mem_new(file.n);
	spam_model_pack(m, again);
	must(memcmp(again, file.p, file.n) == 0);
	mem_free(again);
	spam_model_free(&m);
}

/*
 * A new model's file with the input behind its weights: the first byte says how many mails are
 * listed, what follows them is what is gone over again.
 */
static void
mails(const uint8_t *data, size_t size)
{
	static uint8_t *empty; /* packed once: two megabytes for each input leave few inputs */
	static size_t n_empty;
	if (empty == NULL) {
		struct spam_model *m = spam_model_new();
		n_empty = spam_model_file_bytes(m);
		empty = mem_new(n_empty);
		spam_model_pack(m, empty);
		spam_model_free(&m);
	}
	if (size == 0)
		return;
	size_t n = n_empty + size - 1;
	uint8_t *bytes = mem_new(n);
	memcpy(bytes, empty, n_empty - 4);
	little_put_u32(bytes + 20, 3); /* ham */
	little_put_u32(bytes + 24, 3);
	little_put_u32(bytes + 28, data[0]);
	memcpy(bytes + n_empty - 4, data + 1, size - 1);
	little_put_u32(bytes + n - 4, crc32c(0, bytes, n - 4));
	site((struct slice){(const char *)bytes, n});
	mem_free(bytes);
}

/* The input as the unit, the first weights and the last ones, zeros between. */
static void
shipped(const uint8_t *data, size_t size)
{
	enum { HEAD = 20, ALL = HEAD + 4 + SPAM_WEIGHTS / 2 };
	static const char head[HEAD + 1] = "POSTSHIP\1\0\0\0\1\0\0\0\22\0\0";
	size_t n = (size > 4 ? size - 4 : 0) + ALL + 4;
	uint8_t *bytes = mem_new(n);
	memcpy(bytes, head, HEAD);
	memset(bytes + HEAD, 0x77, n - HEAD);
	if (size > 0)
		memcpy(bytes + HEAD, data, size);
	/* As many bytes as a weight each takes, less what the escapes of the input take more.
	 */
	size_t more = 0;
	for (size_t i = 4; i < size; i++)
		more += (data[i] & 15) == 15 || data[i] >> 4 == 15;
	n = ALL + (more < size ? more : size) + 4;
	little_put_u32(bytes + n - 4, crc32c(0, bytes, n - 4));
	struct err err;
	if (spam_shipped_load((struct slice){(const char *)bytes, n}, &err) == 0) {
		uint32_t places[] = {0, 1, 2, SPAM_WEIGHTS - 1};
		int32_t logit =
			spam_shipped(&(struct spam_features){.text = places, .n_text = 4});
		must(logit <= 4 << 20 && logit >= -(4 << 20));
	}
	mem_free(bytes);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	site((struct slice){(const char *)data, size});
	mails(data, size);
	shipped(data, size);
	return 0;
}
