/*
 * ESMTP parameters of MAIL and RCPT: read from the client, written for the next hop; see
 * param.h. What is passed on (ENVID, ORCPT) is checked here, once, and then goes out byte by
 * byte as it came.
 */
#include "smtp/param.h"

#include "base/must.h"

enum { SIZE_DIGITS_MOST = 20 };

struct param {
	struct slice keyword, value;
	bool has_value;
};

/* Where a parameter's value goes. */
struct target {
	const struct smtp_offer *offer;
	struct arena *arena;
	struct smtp_mail_params *mail;
	struct smtp_rcpt_params *rcpt;
	struct smtp_reply *reply;
};

struct keyword {
	struct slice name;
	bool (*offered)(const struct smtp_offer *o);
	bool (*take)(
		struct target *t, struct slice value); /* false: a bad value, or t->reply */
	bool wants_value;
};

static bool
is_offered_size(const struct smtp_offer *o)
{
	return !o->sizeless;
}

static bool
is_offered_body(const struct smtp_offer *o)
{
	return o->eightbit;
}

static bool
is_offered_smtputf8(const struct smtp_offer *o)
{
	return o->smtputf8;
}

static bool
is_offered_dsn(const struct smtp_offer *o)
{
	return o->dsn;
}

static bool
is_offered_auth(const struct smtp_offer *o)
{
	return o->auth != NULL;
}

static int
upper_hex(char c)
{
	return c >= 'a' ? -1 : ascii_hex(c);
}

/* RFC 3461 4: "+" and two upper-case digits for each byte that is not plain; no control hides.
 */
static bool
is_xtext(struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (c < '!' || c > '~' || c == '=')
			return false;
		if (c != '+')
			continue;
		if (s.n - i < 3)
			return false;
		int high = upper_hex(s.p[i + 1]), low = upper_hex(s.p[i + 2]);
		if (high < 2 || low < 0 || (high == 7 && low == 15))
			return false;
		i += 2;
	}
	return true;
}

static bool
take_size(struct target *t, struct slice value)
{
	uint64_t size;
	for (size_t i = 0; i < value.n; i++)
		if (!ascii_digit(value.p[i]))
			return false;
	if (value.n == 0 || value.n > SIZE_DIGITS_MOST)
		return false;
	if (!slice_u64(value, &size) || (t->offer->size != 0 && size > t->offer->size)) {
		*t->reply = smtp_reply_of("552 5.3.4 The mail is larger than is taken here");
		return false;
	}
	t->mail->size = size;
	return true;
}

static bool
take_body(struct target *t, struct slice value)
{
	if (slice_eq_nocase(value, SLICE("7BIT")))
		t->mail->body = SMTP_BODY_7BIT;
	else if (slice_eq_nocase(value, SLICE("8BITMIME")))
		t->mail->body = SMTP_BODY_8BITMIME;
	else
		return false;
	return true;
}

static bool
take_smtputf8(struct target *t, struct slice value)
{
	t->mail->smtputf8 = true;
	return value.n == 0;
}

static bool
take_ret(struct target *t, struct slice value)
{
	if (slice_eq_nocase(value, SLICE("FULL")))
		t->mail->ret = SMTP_RET_FULL;
	else if (slice_eq_nocase(value, SLICE("HDRS")))
		t->mail->ret = SMTP_RET_HDRS;
	else
		return false;
	return true;
}

static bool
take_envid(struct target *t, struct slice value)
{
	if (value.n == 0 || value.n > SMTP_ENVID_MOST || !is_xtext(value))
		return false;
	t->mail->envid = arena_slice(t->arena, value);
	return true;
}

static bool
take_auth(struct target *t, struct slice value)
{
	if (value.n == 0 || (!slice_eq(value, SLICE("<>")) && !is_xtext(value)))
		return false;
	t->mail->auth = arena_slice(t->arena, value);
	return true;
}

static bool
take_notify(struct target *t, struct slice value)
{
	static const struct {
		struct slice word;
		unsigned bit;
	} words[] = {
		{SLICE("NEVER"), SMTP_NOTIFY_NEVER},
		{SLICE("SUCCESS"), SMTP_NOTIFY_SUCCESS},
		{SLICE("FAILURE"), SMTP_NOTIFY_FAILURE},
		{SLICE("DELAY"), SMTP_NOTIFY_DELAY},
	};
	unsigned notify = 0;
	bool more = true;
	while (more) {
		struct slice word;
		unsigned bit = 0;
		more = slice_cut(value, ',', &word, &value);
		for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
			if (slice_eq_nocase(word, words[i].word))
				bit = words[i].bit;
		if (bit == 0)
			return false;
		notify |= bit;
	}
	t->rcpt->notify = notify;
	return (notify & SMTP_NOTIFY_NEVER) == 0 || notify == SMTP_NOTIFY_NEVER;
}

/* "rfc822;user+2Bdetail@example.org"; the type is an atom. */
static bool
take_orcpt(struct target *t, struct slice value)
{
	struct slice type, address;
	if (value.n > SMTP_ORCPT_MOST || !slice_cut(value, ';', &type, &address))
		return false;
	if (type.n == 0 || address.n == 0 || !is_xtext(address))
		return false;
	for (size_t i = 0; i < type.n; i++)
		if (!ascii_alpha(type.p[i]) && !ascii_digit(type.p[i]) && type.p[i] != '-')
			return false;
	t->rcpt->orcpt = arena_slice(t->arena, value);
	return true;
}

static const struct keyword mail_keywords[] = {
	{SLICE("SIZE"), is_offered_size, take_size, true},
	{SLICE("BODY"), is_offered_body, take_body, true},
	{SLICE("SMTPUTF8"), is_offered_smtputf8, take_smtputf8, false},
	{SLICE("RET"), is_offered_dsn, take_ret, true},
	{SLICE("ENVID"), is_offered_dsn, take_envid, true},
	{SLICE("AUTH"), is_offered_auth, take_auth, true},
};

static const struct keyword rcpt_keywords[] = {
	{SLICE("NOTIFY"), is_offered_dsn, take_notify, true},
	{SLICE("ORCPT"), is_offered_dsn, take_orcpt, true},
};

/* RFC 5321 4.1.2: esmtp-keyword ["=" esmtp-value]. */
static bool
read_param(struct slice token, struct param *p_out)
{
	p_out->has_value = slice_cut(token, '=', &p_out->keyword, &p_out->value);
	struct slice k = p_out->keyword;
	if (k.n == 0 || k.p[0] == '-' || (p_out->has_value && p_out->value.n == 0))
		return false;
	for (size_t i = 0; i < k.n; i++)
		if (!ascii_alpha(k.p[i]) && !ascii_digit(k.p[i]) && k.p[i] != '-')
			return false;
	for (size_t i = 0; i < p_out->value.n; i++) {
		char c = p_out->value.p[i];
		if (c < '!' || c > '~' || c == '=')
			return false;
	}
	return true;
}

static bool
take_param(struct target *t, struct slice token, const struct keyword *known, size_t n_known,
	unsigned *seen)
{
	struct param p;
	if (!read_param(token, &p))
		return false;
	for (size_t i = 0; i < n_known; i++) {
		if (!slice_eq_nocase(p.keyword, known[i].name) || !known[i].offered(t->offer))
			continue;
		if ((*seen & 1u << i) != 0 || p.has_value != known[i].wants_value)
			return false;
		*seen |= 1u << i;
		return known[i].take(t, p.value);
	}
	*t->reply = smtp_reply_of("555 5.5.4 Parameter not known here");
	return false;
}

static bool
take_params(struct slice in, struct target *t, const struct keyword *known, size_t n_known)
{
	unsigned seen = 0;
	*t->reply = smtp_reply_of("501 5.5.4 Bad parameter");
	if (in.n > 0 && in.p[0] != ' ')
		return false;
	for (bool more = true; more;) {
		struct slice token;
		more = slice_cut(in, ' ', &token, &in);
		if (token.n > 0 && !take_param(t, token, known, n_known, &seen))
			return false;
	}
	return true;
}

bool
smtp_helo_byte(char c)
{
	return c > ' ' && c <= '~' && !slice_has(SLICE("\"$(),;<>@\\`{|}"), c);
}

bool
smtp_params_mail(struct slice in, const struct smtp_offer *offer, struct arena *a,
	struct smtp_mail_params *p_out, struct smtp_reply *reply_out)
{
	*p_out = (struct smtp_mail_params){0};
	struct target t = {.offer = offer, .arena = a, .mail = p_out, .reply = reply_out};
	return take_params(
		in, &t, mail_keywords, sizeof(mail_keywords) / sizeof(*mail_keywords));
}

bool
smtp_params_rcpt(struct slice in, const struct smtp_offer *offer, struct arena *a,
	struct smtp_rcpt_params *p_out, struct smtp_reply *reply_out)
{
	*p_out = (struct smtp_rcpt_params){0};
	struct target t = {.offer = offer, .arena = a, .rcpt = p_out, .reply = reply_out};
	return take_params(
		in, &t, rcpt_keywords, sizeof(rcpt_keywords) / sizeof(*rcpt_keywords));
}

bool
smtp_params_mail_write(
	const struct smtp_mail_params *p, const struct smtp_offer *remote, struct buf *out)
{
	if (p->smtputf8 && !remote->smtputf8)
		return false; /* EXT-05: never downgraded silently */
	int full = 0;
	if (p->size != 0 && !remote->sizeless)
		full |= buf_printf(out, " SIZE=%llu", (unsigned long long)p->size);
	if (p->body != SMTP_BODY_NONE && remote->eightbit)
		full |= buf_add_text(
			out, p->body == SMTP_BODY_7BIT ? " BODY=7BIT" : " BODY=8BITMIME");
	if (p->smtputf8)
		full |= buf_add_text(out, " SMTPUTF8");
	if (p->ret != SMTP_RET_NONE && remote->dsn)
		full |= buf_add_text(out, p->ret == SMTP_RET_FULL ? " RET=FULL" : " RET=HDRS");
	if (p->envid.n > 0 && remote->dsn)
		full |= buf_printf(out, " ENVID=%.*s", SLICE_ARG(p->envid));
	must(full == 0);
	return true;
}

void
smtp_params_rcpt_write(
	const struct smtp_rcpt_params *p, const struct smtp_offer *remote, struct buf *out)
{
	static const char *const words[] = {"NEVER", "SUCCESS", "FAILURE", "DELAY"};
	if (!remote->dsn)
		return;
	int full = 0;
	const char *before = " NOTIFY=";
	for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if ((p->notify & 1u << i) == 0)
			continue;
		full |= buf_printf(out, "%s%s", before, words[i]);
		before = ",";
	}
	if (p->orcpt.n > 0)
		full |= buf_printf(out, " ORCPT=%.*s", SLICE_ARG(p->orcpt));
	must(full == 0);
}
