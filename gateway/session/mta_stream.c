/*
 * The native front: the milter protocol on a socket, read by our own engine (milter/server.h)
 * in the event loop. While an answer is owed nothing more is read.
 */
#include "base/mem.h"
#include "milter/server.h"
#include "session/mta_priv.h"

/* Answers that an MTA does not read: a header's worth of edits. */
enum { OUT_MOST = 1024 * 1024, LINGER_MS = 100 };

struct mta_stream {
	struct mta mta;
	struct stream *stream;
	struct milter_server *server;
};

static struct mta_stream *
stream_of(struct mta *m)
{
	return (struct mta_stream *)(void *)((char *)m - offsetof(struct mta_stream, mta));
}

/* All that is said goes out in one piece: edits and their verdict are not parted (MLT-04). */
static void
flush(struct mta_stream *s)
{
	struct slice out = milter_server_output(s->server);
	if (out.n == 0)
		return;
	if (stream_write(s->stream, out) < 0)
		mta_refuse(&s->mta, "the MTA does not read our answers");
	milter_server_written(s->server, out.n);
}

static void
negotiate(struct mta *m, const struct milter_offer *offer)
{
	struct milter_offer agreed;
	(void)offer; /* the engine has it */
	if (milter_server_negotiate(stream_of(m)->server, &m->front->wants, &agreed))
		mta_agreed(m, &agreed);
	else
		mta_offers_too_little(m);
}

static void
take_events(struct mta_stream *s)
{
	struct milter_event ev;
	while (!s->mta.ending && !s->mta.owes && milter_server_event(s->server, &ev))
		mta_event(&s->mta, &ev);
	flush(s);
}

static size_t
on_bytes(void *arg, struct slice in)
{
	struct mta_stream *s = arg;
	size_t taken = 0, n;
	do {
		take_events(s);
		if (s->mta.ending)
			return in.n;
		n = milter_server_feed(s->server, slice_from(in, taken));
		taken += n;
	} while (n != 0 && taken < in.n);
	take_events(s);
	return taken;
}

static void
on_gone(void *arg)
{
	struct mta_stream *s = arg;
	mta_end(&s->mta);
}

static void
on_lost(void *arg, enum stream_lost why, const struct err *err)
{
	(void)why;
	(void)err;
	on_gone(arg);
}

static void
answer(struct mta *m, const struct milter_answer *a)
{
	milter_server_answer(stream_of(m)->server, a);
}

static void
progress(struct mta *m)
{
	milter_server_progress(stream_of(m)->server);
	flush(stream_of(m));
}

static void
ready(struct mta *m)
{
	struct mta_stream *s = stream_of(m);
	take_events(s);
	if (!m->ending && !m->owes)
		stream_resume(s->stream);
}

static void
free_stream(struct mta *m)
{
	struct mta_stream *s = stream_of(m);
	/* what was said is still sent: the answer to a mail may be in it */
	if (s->stream != NULL)
		stream_finish(&s->stream, LINGER_MS);
	milter_server_free(&s->server);
	mem_free(s);
}

void
mta_accept(struct front *f, int fd)
{
	static const struct stream_calls stream = {
		.on_bytes = on_bytes, .on_end = on_gone, .on_lost = on_lost};
	static const struct mta_calls calls = {

		.negotiate = negotiate,
		.answer = answer,
		.progress = progress,
		.ready = ready,
		.free = free_stream};
	struct mta_stream *s = MEM_NEW(struct mta_stream);
	s->server = milter_server_new();
	s->stream = stream_new(f->process->loop, fd, OUT_MOST, &stream, s);
	mta_begin(&s->mta, f, &calls);
}
