/*
 * Requests to the process of libspf2 and its replies, as bytes; see engine_spf2.h. Both sides
 * check every length: the library on the other side may have been broken by a record.
 */
#include "filters/engine_spf2.h"

#include "base/buf.h"

enum { VERSION = 1, REPLY_DONE = 0, REPLY_WANTS = 1 };

/* What has been written; full once anything did not fit. */
struct writer {
	struct buf b;
	bool full;
};

static struct writer
writer_new(void)
{
	struct writer w = {0};
	buf_init(&w.b, ENGINE_SPF2_BYTES_MOST);
	return w;
}

static void
put_bytes(struct writer *w, struct slice s)
{
	w->full |= buf_add(&w->b, s) != 0;
}

static void
put_number(struct writer *w, unsigned bytes, size_t n)
{
	while (bytes-- > 0)
		w->full |= buf_add_byte(&w->b, (char)(n >> (8 * bytes) & 0xff)) != 0;
}

static void
put_text(struct writer *w, struct slice s)
{
	w->full |= s.n > UINT16_MAX;
	put_number(w, 2, s.n);
	put_bytes(w, s);
}

static struct slice
ip_bytes(const struct ip *ip)
{
	return (struct slice){(const char *)ip->bytes, ip->family == 4 ? 4 : 16};
}

static void
put_answer(struct writer *w, const struct engine_spf2_answer *one)
{
	put_number(w, 2, (size_t)one->type);
	put_number(w, 1, (size_t)one->answer.status);
	put_text(w, one->name);
	put_number(w, 2, one->answer.n);
	for (size_t i = 0; i < one->answer.n; i++) {
		const struct dns_rr *rr = &one->answer.rr[i];
		put_number(w, 2, rr->preference);
		bool address = one->type == DNS_A || one->type == DNS_AAAA;
		put_text(w, address ? ip_bytes(&rr->ip) : rr->text);
	}
}

static struct slice
packed(struct writer *w, struct arena *a)
{
	struct slice s = w->full ? SLICE_NONE : arena_slice(a, buf_slice(&w->b));
	buf_fini(&w->b);
	return s;
}

struct slice
engine_spf2_pack_request(const struct engine_spf2_request *r, struct arena *a)
{
	struct writer w = writer_new();
	put_number(&w, 1, VERSION);
	put_number(&w, 1, r->client.family);
	put_bytes(&w, ip_bytes(&r->client));
	put_text(&w, r->helo);
	put_text(&w, r->sender);
	put_text(&w, r->hostname);
	put_number(&w, 2, r->n_answers);
	for (size_t i = 0; i < r->n_answers; i++)
		put_answer(&w, &r->answers[i]);
	return packed(&w, a);
}

struct slice
engine_spf2_pack_reply(const struct engine_spf2_reply *r, struct arena *a)
{
	struct writer w = writer_new();
	put_number(&w, 1, r->done ? REPLY_DONE : REPLY_WANTS);
	if (r->done) {
		put_number(&w, 1, (size_t)r->result);
		put_text(&w, r->explanation);
		return packed(&w, a);
	}
	put_number(&w, 2, r->n_wanted);
	for (size_t i = 0; i < r->n_wanted; i++) {
		put_number(&w, 2, (size_t)r->wanted[i].type);
		put_text(&w, r->wanted[i].name);
	}
	return packed(&w, a);
}

/* What is left to read; bad once anything was missing. */
struct reader {
	struct slice in;
	bool bad;
};

static struct slice
get_bytes(struct reader *r, size_t n)
{
	r->bad |= n > r->in.n;
	if (r->bad)
		return SLICE_NONE;
	struct slice s = slice_first(r->in, n);
	r->in = slice_from(r->in, n);
	return s;
}

static unsigned
get_number(struct reader *r, unsigned bytes)
{
	struct slice s = get_bytes(r, bytes);
	unsigned n = 0;
	for (size_t i = 0; i < s.n; i++)
		n = n << 8 | (unsigned char)s.p[i];
	return n;
}

static struct slice
get_text(struct reader *r)
{
	return get_bytes(r, get_number(r, 2));
}

static bool
get_ip(struct slice bytes, struct ip *ip)
{
	if (bytes.n != 4 && bytes.n != 16)
		return false;
	*ip = (struct ip){.family = bytes.n == 4 ? 4 : 6};
	for (size_t i = 0; i < bytes.n; i++)
		ip->bytes[i] = (uint8_t)bytes.p[i];
	return true;
}

static void
get_answer(struct reader *r, struct engine_spf2_answer *one, struct arena *a)
{
	one->type = (enum dns_type)get_number(r, 2);
	unsigned status = get_number(r, 1);
	one->answer.status = (enum dns_status)status;
	one->name = get_text(r);
	one->answer.n = get_number(r, 2);
	r->bad |= status > DNS_BOGUS || one->answer.n > DNS_RR_MOST;
	if (r->bad)
		return;
	one->answer.rr = arena_array(a, one->answer.n, sizeof(*one->answer.rr));
	for (size_t i = 0; i < one->answer.n; i++) {
		struct dns_rr *rr = &one->answer.rr[i];
		rr->preference = (uint16_t)get_number(r, 2);
		rr->text = get_text(r);
		if (one->type == DNS_A || one->type == DNS_AAAA)
			r->bad |= !get_ip(rr->text, &rr->ip);
	}
}

bool
engine_spf2_unpack_request(
	struct slice bytes, struct arena *a, struct engine_spf2_request *r_out)
{
	struct reader r = {.in = bytes};
	*r_out = (struct engine_spf2_request){0};
	r.bad |= get_number(&r, 1) != VERSION;
	unsigned family = get_number(&r, 1);
	r.bad |= family != 4 && family != 6;
	r.bad |= !get_ip(get_bytes(&r, family == 4 ? 4 : 16), &r_out->client);
	r_out->helo = get_text(&r);
	r_out->sender = get_text(&r);
	r_out->hostname = get_text(&r);
	r_out->n_answers = get_number(&r, 2);
	if (r.bad || r_out->n_answers > ENGINE_SPF2_ANSWERS_MOST)
		return false;
	r_out->answers = arena_array(a, r_out->n_answers, sizeof(*r_out->answers));
	for (size_t i = 0; i < r_out->n_answers && !r.bad; i++)
		get_answer(&r, &r_out->answers[i], a);
	return !r.bad && r.in.n == 0;
}

bool
engine_spf2_unpack_reply(struct slice bytes, struct arena *a, struct engine_spf2_reply *r_out)
{
	struct reader r = {.in = bytes};
	*r_out = (struct engine_spf2_reply){0};
	unsigned kind = get_number(&r, 1);
	if (kind == REPLY_DONE) {
		unsigned result = get_number(&r, 1);
		r_out->done = true;
		r_out->result = (enum spf_result)result;
		r_out->explanation = get_text(&r);
		return !r.bad && r.in.n == 0 && result <= SPFR_PERMERROR;
	}
	r_out->n_wanted = get_number(&r, 2);
	if (r.bad || kind != REPLY_WANTS || r_out->n_wanted == 0 ||
		r_out->n_wanted > ENGINE_SPF2_ANSWERS_MOST)
		return false;
	r_out->wanted = arena_array(a, r_out->n_wanted, sizeof(*r_out->wanted));
	for (size_t i = 0; i < r_out->n_wanted; i++) {
		r_out->wanted[i].type = (enum dns_type)get_number(&r, 2);
		r_out->wanted[i].name = get_text(&r);
	}
	return !r.bad && r.in.n == 0;
}
