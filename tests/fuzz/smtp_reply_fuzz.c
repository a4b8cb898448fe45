/*
 * Replies of a hostile next hop: what was read is written as one well-formed reply, and read
 * again it is the same (SMG-08). Prefixes are never a reply before the whole is.
 */
#include "base/must.h"
#include "smtp/reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
write_and_read(const struct smtp_reply *r, struct arena *a)
{
	struct smtp_reply again;
	struct buf out;
	size_t taken;
	buf_init(&out, 64 * 1024);
	must(smtp_reply_write(r, &out) == 0);
	int result = smtp_reply_read(buf_slice(&out), a, &again, &taken);
	if (buf_slice(&out).n <= SMTP_REPLY_BYTES_MOST) {
		must(result == 0 && taken == buf_slice(&out).n && again.code == r->code);
		if (r->has_enhanced)
			must(again.has_enhanced && again.enhanced[2] == r->enhanced[2]);
	}
	buf_fini(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = {(const char *)data, size};
	struct arena *a = arena_new(1024 * 1024);
	struct smtp_reply r;
	size_t taken;
	if (smtp_reply_read(in, a, &r, &taken) == 0) {
		must(taken <= size && in.p[taken - 1] == '\n');
		size_t more;
		struct smtp_reply part;
		must(smtp_reply_read(slice_first(in, taken - 1), a, &part, &more) == 1);
		write_and_read(&r, a);
		smtp_reply_line(&r, a);
	}
	if (smtp_reply_parse_text(in, &r))
		write_and_read(&r, a);
	arena_free(&a);
	return 0;
}
