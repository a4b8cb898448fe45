/*
 * The parts of a mail as bytes between processes and in the spool; see pack.h. What is read is
 * checked as strictly as what comes from the network: the other process may be broken, and so
 * may the disk.
 */
#include "relay/pack.h"

#include "base/must.h"

static const uint64_t range_most = UINT64_C(1) << 62;

enum part_kind { PART_MEMORY, PART_FILE, PART_KINDS };

struct slice
relay_get_words(struct ipc_in *in, size_t most)
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

void
relay_put_address(struct ipc_out *o, const struct address *a)
{
	ipc_put_slice(o, a->raw);
	ipc_put_slice(o, a->domain);
	ipc_put_bool(o, a->utf8);
	ipc_put_bool(o, a->is_null);
}

void
relay_get_address(struct ipc_in *in, struct address *a)
{
	*a = (struct address){.raw = relay_get_words(in, RELAY_RAW_MOST)};
	a->text = a->raw;
	a->domain = relay_get_words(in, RELAY_DOMAIN_MOST);
	a->utf8 = ipc_get_bool(in);
	a->is_null = ipc_get_bool(in);
	a->local = slice_first(a->raw, slice_find_last(a->raw, '@'));
	if (a->is_null != (a->raw.n == 0))
		in->bad = true;
}

void
relay_put_mail_params(struct ipc_out *o, const struct smtp_mail_params *p)
{
	ipc_put_u8(o, (uint8_t)p->body);
	ipc_put_bool(o, p->smtputf8);
	ipc_put_u8(o, (uint8_t)p->ret);
	ipc_put_slice(o, p->envid);
}

void
relay_get_mail_params(struct ipc_in *in, struct smtp_mail_params *p)
{
	*p = (struct smtp_mail_params){0};
	p->body = (enum smtp_body)ipc_get_enum(in, SMTP_BODY_8BITMIME + 1);
	p->smtputf8 = ipc_get_bool(in);
	p->ret = (enum smtp_ret)ipc_get_enum(in, SMTP_RET_HDRS + 1);
	p->envid = relay_get_words(in, SMTP_ENVID_MOST);
}

void
relay_put_rcpt_params(struct ipc_out *o, const struct smtp_rcpt_params *p)
{
	ipc_put_u8(o, (uint8_t)p->notify);
	ipc_put_slice(o, p->orcpt);
}

void
relay_get_rcpt_params(struct ipc_in *in, struct smtp_rcpt_params *p)
{
	*p = (struct smtp_rcpt_params){.notify = ipc_get_enum(in, 2 * SMTP_NOTIFY_DELAY)};
	p->orcpt = relay_get_words(in, SMTP_ORCPT_MOST);
}

void
relay_put_reply(struct ipc_out *o, const struct smtp_reply *r, size_t text_most)
{
	ipc_put_u16(o, (uint16_t)r->code);
	ipc_put_bool(o, r->has_enhanced);
	for (size_t i = 0; i < 3; i++)
		ipc_put_u16(o, r->enhanced[i]);
	ipc_put_slice(o, slice_first(r->text, text_most));
}

static void
get_reply(struct ipc_in *in, struct arena *a, bool may_be_none, struct smtp_reply *r)
{
	*r = (struct smtp_reply){.code = ipc_get_u16(in)};
	r->has_enhanced = ipc_get_bool(in);
	bool none = may_be_none && r->code == 0;
	bool bad = (r->code < 200 && !none) || r->code > 599;
	for (size_t i = 0; i < 3; i++) {
		r->enhanced[i] = ipc_get_u16(in);
		bad = bad || r->enhanced[i] > 999;
	}
	struct slice text = ipc_get_slice(in);
	if (bad || in->bad || (r->has_enhanced && r->enhanced[0] != r->code / 100) ||
		(none && text.n > 0)) {
		in->bad = true;
		*r = (struct smtp_reply){0};
		return;
	}
	*r = smtp_reply_text(*r, text, a);
}

void
relay_get_reply(struct ipc_in *in, struct arena *a, struct smtp_reply *r)
{
	get_reply(in, a, false, r);
}

void
relay_get_reply_or_none(struct ipc_in *in, struct arena *a, struct smtp_reply *r)
{
	get_reply(in, a, true, r);
}

void
relay_put_body(struct ipc_out *o, const struct relay_body *b, int *fd_out)
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
		must(*fd_out < 0 || *fd_out == p->fd);
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
get_part(struct ipc_in *in, int fd, struct relay_body *b)
{
	if (ipc_get_enum(in, PART_KINDS) == PART_FILE)
		return get_file_part(in, fd, b);
	return relay_body_add(b, ipc_get_slice(in)) == 0;
}

void
relay_get_body(struct ipc_in *in, int fd, struct relay_body *b)
{
	uint32_t n = ipc_get_count(in, RELAY_PARTS_MOST, 5);
	for (uint32_t i = 0; i < n && !in->bad; i++)
		if (!get_part(in, fd, b))
			in->bad = true;
}
