/*
 * Mails and results as bytes between a session and a delivery process; see messages.h. What is
 * unpacked is checked as strictly as what comes from the network: the other process may be
 * broken.
 */
#include "delivery/messages.h"

#include <errno.h>
#include <unistd.h>

#include "base/must.h"

enum {
	RAW_MOST = 512, /* a path, quoted as it came */
	SITE_MOST = 256,
	PART_STAYS = 4096,             /* parts in memory up to this stay there */
	RESULT_TEXT_BYTES = 16 * 1024, /* words of all replies of a result */
	RESULT_WORDS_MOST = 512,       /* host, address, hop */
};
static const uint64_t range_most = UINT64_C(1) << 62;

enum part_kind { PART_MEMORY, PART_FILE, PART_KINDS };

/* ---- addresses and parameters ---- */

static void
put_address(struct ipc_out *o, const struct address *a)
{
	ipc_put_slice(o, a->raw);
	ipc_put_slice(o, a->domain);
	ipc_put_bool(o, a->utf8);
	ipc_put_bool(o, a->is_null);
}

/* Nothing that could end a command line. */
static struct slice
get_words(struct ipc_in *in, size_t most)
{
	struct slice s = ipc_get_slice(in);
	bool bad = s.n > most;
	for (size_t i = 0; i < s.n && !bad; i++)
		bad = (unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f;
	if (!bad)
		return s;
	in->bad = true;
	return SLICE_NONE;
}

static void
get_address(struct ipc_in *in, struct address *a)
{
	*a = (struct address){.raw = get_words(in, RAW_MOST)};
	a->text = a->raw;
	a->domain = get_words(in, SITE_MOST);
	a->utf8 = ipc_get_bool(in);
	a->is_null = ipc_get_bool(in);
	a->local = slice_first(a->raw, slice_find_last(a->raw, '@'));
	if (a->is_null != (a->raw.n == 0))
		in->bad = true;
}

static void
put_mail_params(struct ipc_out *o, const struct smtp_mail_params *p)
{
	ipc_put_u8(o, (uint8_t)p->body);
	ipc_put_bool(o, p->smtputf8);
	ipc_put_u8(o, (uint8_t)p->ret);
	ipc_put_slice(o, p->envid);
}

static void
get_mail_params(struct ipc_in *in, struct smtp_mail_params *p)
{
	*p = (struct smtp_mail_params){0};
	p->body = (enum smtp_body)ipc_get_enum(in, SMTP_BODY_8BITMIME + 1);
	p->smtputf8 = ipc_get_bool(in);
	p->ret = (enum smtp_ret)ipc_get_enum(in, SMTP_RET_HDRS + 1);
	p->envid = get_words(in, SMTP_ENVID_MOST);
}

static void
get_rcpt(struct ipc_in *in, struct relay_rcpt *r)
{
	*r = (struct relay_rcpt){0};
	get_address(in, &r->address);
	r->params.notify = ipc_get_enum(in, 2 * SMTP_NOTIFY_DELAY);
	r->params.orcpt = get_words(in, SMTP_ORCPT_MOST);
}

/* ---- the body ---- */

static void
put_body(struct ipc_out *o, const struct relay_body *b, int *fd_out)
{
	*fd_out = -1;
	ipc_put_u32(o, (uint32_t)b->n);
	for (size_t i = 0; i < b->n; i++) {
		const struct relay_part *p = &b->parts[i];
		if (p->fd < 0) {
			ipc_put_u8(o, PART_MEMORY);
			ipc_put_slice(o, p->bytes);
			continue;
		}
		must(*fd_out < 0 || *fd_out == p->fd); /* messages.h: one descriptor */
		*fd_out = p->fd;
		ipc_put_u8(o, PART_FILE);
		ipc_put_u64(o, p->offset);
		ipc_put_u64(o, p->length);
	}
}

static bool
get_file_part(struct ipc_in *in, int fd, struct relay_body *b)
{
	uint64_t offset = ipc_get_u64(in), length = ipc_get_u64(in);
	if (in->bad || fd < 0 || length == 0 || offset > range_most || length > range_most)
		return false;
	return relay_body_add_file(b, fd, offset, length) == 0;
}

static bool
get_body(struct ipc_in *in, int fd, struct relay_body *b)
{
	uint32_t n = ipc_get_count(in, RELAY_PARTS_MOST, 5);
	for (uint32_t i = 0; i < n && !in->bad; i++) {
		if (ipc_get_enum(in, PART_KINDS) == PART_FILE) {
			if (!get_file_part(in, fd, b))
				return false;
		} else if (relay_body_add(b, ipc_get_slice(in)) < 0) {
			return false;
		}
	}
	return !in->bad;
}

static int
write_all(int fd, struct slice bytes, uint64_t at, struct err *err)
{
	while (bytes.n > 0) {
		ssize_t n = pwrite(fd, bytes.p, bytes.n, (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, "write the mail to its spill file");
		bytes = slice_from(bytes, (size_t)n);
		at += (uint64_t)n;
	}
	return 0;
}

int
delivery_body_to_file(struct relay_body *b, int fd, uint64_t at, struct err *err)
{
	for (size_t i = 0; i < b->n; i++) {
		struct relay_part *p = &b->parts[i];
		if (p->fd >= 0 || p->bytes.n <= PART_STAYS)
			continue;
		if (write_all(fd, p->bytes, at, err) < 0)
			return -1;
		*p = (struct relay_part){.fd = fd, .offset = at, .length = p->length};
		at += p->length;
	}
	return 0;
}

/* ---- the mail ---- */

int
delivery_mail_pack(const struct delivery_mail *m, struct ipc_out *out, int *fd_out)
{
	struct slice payload;
	*fd_out = -1;
	if (m->n_rcpts > DELIVERY_RCPTS_MOST)
		return -1;
	ipc_put_slice(out, m->site);
	ipc_put_slice(out, slice_first(m->log, DELIVERY_LOG_BYTES - 1));
	ipc_put_u32(out, m->budget_ms);
	put_address(out, &m->sender);
	put_mail_params(out, &m->params);
	ipc_put_u32(out, (uint32_t)m->n_rcpts);
	for (size_t i = 0; i < m->n_rcpts; i++) {
		put_address(out, &m->rcpts[i].address);
		ipc_put_u8(out, (uint8_t)m->rcpts[i].params.notify);
		ipc_put_slice(out, m->rcpts[i].params.orcpt);
	}
	put_body(out, &m->body, fd_out);
	return ipc_out_ok(out, &payload) ? 0 : -1;
}

bool
delivery_mail_unpack(struct slice payload, int fd, struct arena *a, struct delivery_mail *m)
{
	struct ipc_in in;
	ipc_in_init(&in, payload);
	*m = (struct delivery_mail){0};
	m->site = get_words(&in, SITE_MOST);
	m->log = get_words(&in, DELIVERY_LOG_BYTES - 1);
	m->budget_ms = ipc_get_u32(&in);
	get_address(&in, &m->sender);
	get_mail_params(&in, &m->params);
	m->n_rcpts = ipc_get_count(&in, DELIVERY_RCPTS_MOST, 11);
	if (in.bad || m->n_rcpts == 0 || m->site.n == 0)
		return false;
	m->rcpts = arena_array(a, m->n_rcpts, sizeof(*m->rcpts));
	for (size_t i = 0; i < m->n_rcpts; i++) {
		get_rcpt(&in, &m->rcpts[i]);
		if (in.bad || m->rcpts[i].address.is_null)
			return false;
	}
	relay_body_init(&m->body, a);
	return get_body(&in, fd, &m->body) && ipc_in_done(&in) && m->body.bytes > 0;
}

/* ---- the result ---- */

static void
put_reply(struct ipc_out *o, const struct smtp_reply *r, size_t text_most)
{
	ipc_put_u16(o, (uint16_t)r->code);
	ipc_put_bool(o, r->has_enhanced);
	for (size_t i = 0; i < 3; i++)
		ipc_put_u16(o, r->enhanced[i]);
	ipc_put_slice(o, slice_first(r->text, text_most));
}

static void
get_reply(struct ipc_in *in, struct arena *a, struct smtp_reply *r)
{
	*r = (struct smtp_reply){.code = ipc_get_u16(in)};
	r->has_enhanced = ipc_get_bool(in);
	bool bad = r->code < 200 || r->code > 599;
	for (size_t i = 0; i < 3; i++) {
		r->enhanced[i] = ipc_get_u16(in);
		bad = bad || r->enhanced[i] > 999;
	}
	struct slice text = ipc_get_slice(in);
	if (bad || (r->has_enhanced && r->enhanced[0] != r->code / 100)) {
		in->bad = true;
		return;
	}
	*r = smtp_reply_text(*r, text, a);
}

static bool
is_same(const struct smtp_reply *a, const struct smtp_reply *b)
{
	return a->code == b->code && slice_eq(a->text, b->text);
}

void
delivery_result_pack(const struct delivery_result *r, struct ipc_out *out)
{
	size_t text_most = RESULT_TEXT_BYTES / (r->n_rcpts + 1);
	struct slice payload;
	put_reply(out, &r->reply, text_most);
	ipc_put_u8(out, (uint8_t)r->phase);
	ipc_put_bool(out, r->from_hop);
	ipc_put_slice(out, slice_first(r->hop, RESULT_WORDS_MOST));
	ipc_put_slice(out, slice_first(r->host, RESULT_WORDS_MOST));
	ipc_put_slice(out, slice_first(r->address, RESULT_WORDS_MOST));
	ipc_put_bool(out, r->tls);
	ipc_put_bool(out, r->tls_verified);
	ipc_put_u32(out, r->attempts);
	ipc_put_u32(out, (uint32_t)r->n_rcpts);
	for (size_t i = 0; i < r->n_rcpts; i++) {
		const struct relay_rcpt *rcpt = &r->rcpts[i];
		bool same = is_same(&rcpt->reply, &r->reply);
		ipc_put_u8(out, (uint8_t)rcpt->fate);
		ipc_put_u8(out, (uint8_t)rcpt->phase);
		ipc_put_bool(out, same);
		if (!same)
			put_reply(out, &rcpt->reply, text_most);
	}
	must(ipc_out_ok(out, &payload));
}

bool
delivery_result_unpack(struct slice payload, struct arena *a, struct delivery_result *r)
{
	struct ipc_in in;
	ipc_in_init(&in, payload);
	*r = (struct delivery_result){0};
	get_reply(&in, a, &r->reply);
	r->phase = (enum smtp_client_phase)ipc_get_enum(&in, SMTP_CL_CLOSED + 1);
	r->from_hop = ipc_get_bool(&in);
	r->hop = get_words(&in, RESULT_WORDS_MOST);
	r->host = get_words(&in, RESULT_WORDS_MOST);
	r->address = get_words(&in, RESULT_WORDS_MOST);
	r->tls = ipc_get_bool(&in);
	r->tls_verified = ipc_get_bool(&in);
	r->attempts = ipc_get_u32(&in);
	r->n_rcpts = ipc_get_count(&in, DELIVERY_RCPTS_MOST, 3);
	if (in.bad)
		return false;
	r->rcpts = arena_array(a, r->n_rcpts + 1, sizeof(*r->rcpts));
	for (size_t i = 0; i < r->n_rcpts && !in.bad; i++) {
		struct relay_rcpt *rcpt = &r->rcpts[i];
		rcpt->fate = (enum relay_fate)ipc_get_enum(&in, RELAY_DOUBT + 1);
		rcpt->phase = (enum smtp_client_phase)ipc_get_enum(&in, SMTP_CL_CLOSED + 1);
		rcpt->reply = r->reply;
		if (!ipc_get_bool(&in))
			get_reply(&in, a, &rcpt->reply);
	}
	return ipc_in_done(&in);
}

size_t
delivery_index(struct slice site, size_t n)
{
	/* FNV-1a: the same in every process, unlike slice_hash. */
	uint64_t hash = UINT64_C(0xcbf29ce484222325);
	must(n > 0);
	for (size_t i = 0; i < site.n; i++)
		hash = (hash ^ (unsigned char)ascii_lower(site.p[i])) * UINT64_C(0x100000001b3);
	return (size_t)(hash % n);
}
