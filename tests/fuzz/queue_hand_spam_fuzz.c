/*
 * Messages of `postern learn` and of the keeper as a broken program might send them: the first
 * byte says which. What is taken packs again to the same bytes.
 */
#include <stdint.h>

#include "base/must.h"
#include "queue/hand_spam.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
lessons_again(struct slice payload, struct ipc_out *out)
{
	struct arena *a = arena_new(4 * 1024 * 1024);
	struct hand_lessons l;
	bool is_right = hand_lessons_unpack(payload, a, &l);
	if (is_right) {
		hand_lessons_begin(l.domain, out);
		for (size_t i = 0; i < l.n; i++) {
			const struct spam_features *f = &l.list[i].features;
			must(f->n_raw <= SPAM_FEATURES_MOST && f->n_text <= SPAM_FEATURES_MOST);
			must(hand_lessons_add(&l.list[i], out)); /* it looks at each number */
		}
		hand_lessons_end(out);
	}
	arena_free(&a);
	return is_right;
}

static bool
pack_again(uint8_t which, struct slice payload, struct ipc_out *out)
{
	struct hand_learned learned[HAND_LESSONS_MOST];
	struct hand_spam_model models[HAND_SPAM_MODELS_MOST];
	struct hand_spam_done done;
	size_t n;
	bool is_right = false;
	switch (which % 4) {
	case 0: return lessons_again(payload, out);
	case 1:
		if ((is_right = hand_learned_unpack(payload, learned, &n)))
			hand_learned_pack(learned, n, out);
		break;
	case 2:
		if ((is_right = hand_spam_done_unpack(payload, &done)))
			hand_spam_done_pack(&done, out);
		break;
	default:
		if ((is_right = hand_spam_models_unpack(payload, models, &n)))
			hand_spam_models_pack(models, n, out);
	}
	return is_right;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ipc_out out;
	struct slice again;
	if (size < 1 || size > IPC_PAYLOAD_BYTES)
		return 0;
	struct slice payload = {(const char *)data + 1, size - 1};
	ipc_out_init(&out);
	if (pack_again(data[0], payload, &out))
		must(ipc_out_ok(&out, &again) && slice_eq(again, payload));
	ipc_out_fini(&out);
	return 0;
}
