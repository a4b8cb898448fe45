/*
 * The reader of data comes to the same end however the input is cut, and the writer's output,
 * read again, is what it was given (SRV-01, SMG-01, SMG-03).
 */
#include "base/must.h"
#include "smtp/dot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
	unsigned faults;
	bool ended;
	size_t taken;
	struct buf data;
};

static struct outcome
read_cut(struct slice in, size_t piece)
{
	struct dot_reader r;
	struct outcome o = {0};
	dot_reader_init(&r, 78, 2000);
	buf_init(&o.data, in.n);
	while (in.n > 0 && !r.ended) {
		struct slice out;
		size_t n = dot_reader_feed(&r, slice_first(in, piece), &out);
		must(n > 0 && buf_add(&o.data, out) == 0);
		in = slice_from(in, n);
		o.taken += n;
	}
	o.faults = r.faults;
	o.ended = r.ended;
	must(o.faults != 0 || r.bytes == o.data.used);
	return o;
}

static void
write_and_read(struct slice in)
{
	struct dot_writer w;
	struct dot_reader r;
	struct buf wire, back;
	buf_init(&wire, 2 * in.n + 16);
	buf_init(&back, 2 * in.n + 16);
	dot_writer_init(&w);
	dot_reader_init(&r, SIZE_MAX, UINT64_MAX);
	if (dot_writer_add(&w, in, &wire) == 0 && dot_writer_end(&w, &wire) == 0) {
		struct slice rest = buf_slice(&wire), out;
		while (rest.n > 0) {
			rest = slice_from(rest, dot_reader_feed(&r, rest, &out));
			must(buf_add(&back, out) == 0);
			must(!r.ended || rest.n == 0);
		}
		must(r.ended && r.faults == DOT_CLEAN);
		must(slice_starts(buf_slice(&back), in) && back.used - in.n <= 2);
	}
	must(w.clean || buf_slice(&wire).n == 0 || slice_has(in, '\r'));
	buf_fini(&wire);
	buf_fini(&back);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = {(const char *)data, size};
	struct outcome whole = read_cut(in, SIZE_MAX);
	for (size_t piece = 1; piece < 8; piece += 2) {
		struct outcome cut = read_cut(in, piece);
		must(cut.faults == whole.faults && cut.ended == whole.ended);
		must(cut.taken == whole.taken);
		if (whole.faults == DOT_CLEAN)
			must(slice_eq(buf_slice(&cut.data), buf_slice(&whole.data)));
		buf_fini(&cut.data);
	}
	buf_fini(&whole.data);
	write_and_read(in);
	return 0;
}
