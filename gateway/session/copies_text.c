/*
 * Journal reports and notices, written line by line; see copies_text.h. What came from outside
 * stands in the text part as words without control characters, or in a part of its own behind a
 * boundary that nobody can know before.
 */
#include "session/copies_text.h"

#include "base/clock.h"
#include "policy/explain.h"

enum {
	WORDS_MOST = 900, /* of one line */
	HEADER_MOST = 64 * 1024,
	NOTICE_RCPTS_MOST = 50,
	NOTICE_MOST = 256 * 1024,
};

/* The key of the hash is random, and no mail ever sees a hash of ours before it is sent. */
static struct slice
boundary_of(const struct parcels_input *in, const char *what, size_t at, struct arena *a)
{
	struct slice text = arena_printf(
		a, "%s %s %zu %lld", what, in->id, at, (long long)in->session->wall_ms);
	return arena_printf(
		a, "=_%s.%zu.%016llx", in->id, at, (unsigned long long)slice_hash(text));
}

static void
add_words(struct buf *out, struct slice s)
{
	s = slice_first(s, WORDS_MOST);
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		(void)buf_add_byte(out, c < ' ' || c == 0x7f ? '?' : (char)c);
	}
}

static void
add_line(struct buf *out, const char *name, struct slice words)
{
	(void)buf_printf(out, "%s: ", name);
	add_words(out, words);
	(void)buf_add_text(out, "\r\n");
}

static void
add_head(const struct parcels_input *in, const char *what, struct slice to, size_t at,
	struct slice boundary, struct buf *out)
{
	char date[CLOCK_DATE_BYTES];
	struct slice when = clock_date(in->session->wall_ms, date);
	struct slice host = in->config->conf->hostname;
	(void)buf_printf(out, "Date: %.*s\r\nFrom: Mail gateway <MAILER-DAEMON@%.*s>\r\n",
		SLICE_ARG(when), SLICE_ARG(host));
	(void)buf_printf(
		out, "To: <%.*s>\r\nSubject: %s of mail %s\r\n", SLICE_ARG(to), what, in->id);
	(void)buf_printf(out, "Message-ID: <%s.%lld.%c%zu@%.*s>\r\n", in->id,
		(long long)in->session->wall_ms, ascii_lower(what[0]), at, SLICE_ARG(host));
	(void)buf_printf(out,
		"Auto-Submitted: auto-generated\r\n"
		"MIME-Version: 1.0\r\n"
		"Content-Type: multipart/mixed; boundary=\"%.*s\"\r\n"
		"Content-Transfer-Encoding: 8bit\r\n",
		SLICE_ARG(boundary));
}

static void
add_part(struct buf *out, struct slice boundary, const char *type)
{
	(void)buf_printf(out,
		"--%.*s\r\nContent-Type: %s\r\nContent-Transfer-Encoding: 8bit\r\n\r\n",
		SLICE_ARG(boundary), type);
}

/* Who sent it, by which way, and what was decided for those that these bytes are for. */
static void
add_envelope(const struct parcels_input *in, struct buf *out)
{
	const struct flt_mail *m = in->mail;
	char ip[IP_TEXT_BYTES];
	add_line(out, "Sender", m->sender.is_null ? SLICE("<>") : m->sender.text);
	if (m->message != NULL && m->message->message_id.n != 0)
		add_line(out, "Message-Id", slice_trim(m->message->message_id));
	add_line(out, "Direction",
		in->config->direction == INBOUND ? SLICE("inbound") : SLICE("outbound"));
	add_line(out, "Id", slice_of(in->id));
	if (in->session->client.family != 0)
		add_line(out, "Client", ip_text(&in->session->client, ip));
	if (in->session->user.n != 0)
		add_line(out, "Account", in->session->user);
}

static void
add_decision(const struct decision *d, struct buf *out)
{
	const struct rule *r = d->verdict.rule;
	if (r != NULL)
		(void)buf_printf(out, "Decision: %s by %s:%u\r\n",
			action_text(d->verdict.action), r->at.file, r->at.line);
}

static void
add_recipient(const struct parcels_input *in, size_t i, struct arena *a, struct buf *out)
{
	struct address to = parcels_address(in, i, a);
	struct slice came = in->mail->recipients[i].address.text;
	(void)buf_add_text(out, "Recipient: ");
	add_words(out, to.text);
	if (!slice_eq(to.text, came)) {
		(void)buf_add_text(out, ", Redirected: ");
		add_words(out, came);
	}
	(void)buf_add_text(out, "\r\n");
}

void
copies_journal_text(const struct parcels_input *in, struct slice to, size_t set,
	struct arena *a, struct slice *head_out, struct slice *end_out)
{
	const struct decisions *d = in->outcome->decisions;
	struct slice boundary = boundary_of(in, "journal", set, a);
	struct buf out;
	buf_init(&out, QUEUE_LARGE_MOST);
	add_head(in, "Journal", to, set, boundary, &out);
	/* by this empty field archives know a report from a mail to be archived itself */
	(void)buf_add_text(&out, "X-MS-Journal-Report:\r\n\r\n");
	add_part(&out, boundary, "text/plain; charset=utf-8");
	add_envelope(in, &out);
	for (size_t i = 0; i < d->n; i++) {
		if (!decision_serves(&d->list[i]) || d->list[i].set != set)
			continue;
		add_decision(&d->list[i], &out);
		for (size_t r = 0; r < d->n_of; r++)
			if (d->of[r] == i)
				add_recipient(in, r, a, &out);
		for (size_t k = 0; k < d->list[i].verdict.n_effects; k++)
			if (d->list[i].verdict.effects[k]->action == ACTION_COPY)
				add_line(&out, "Copy", d->list[i].verdict.effects[k]->text);
	}
	(void)buf_add_text(&out, "\r\n");
	add_part(&out, boundary,
		in->mail->params.smtputf8 ? "message/global" : "message/rfc822");
	*head_out = arena_slice(a, buf_slice(&out));
	*end_out = arena_printf(a, "\r\n--%.*s--\r\n", SLICE_ARG(boundary));
	buf_fini(&out);
}

/* --- notices */

struct known {
	struct facts *facts;
	size_t rcpt;
};

static enum fact_state
known_fact(void *arg, const struct fact_ref *ref, enum fact_cost most, struct value *v)
{
	const struct known *k = arg;
	(void)most;
	return facts_read_use(k->facts, ref, k->rcpt, COST_FREE, v);
}

static void
add_facts(const struct parcels_input *in, const struct rule *r, size_t rcpt, struct arena *a,
	struct buf *out)
{
	struct known known = {in->facts, rcpt};
	struct slice facts = SLICE_NONE;
	if (in->facts != NULL && r != NULL)
		facts = policy_explain_facts(
			in->config->policy, r, (struct fact_source){known_fact, &known}, a);
	if (facts.n != 0)
		add_line(out, "Facts", facts);
}

static void
add_decisions(
	const struct parcels_input *in, const struct rule *r, struct arena *a, struct buf *out)
{
	const struct decisions *d = in->outcome->decisions;
	size_t told = 0, all = 0;
	for (size_t i = 0; i < d->n; i++) {
		size_t first = SIZE_MAX;
		if (!decision_serves(&d->list[i]) || !decision_has_rule(&d->list[i], r))
			continue;
		(void)buf_add_text(out, "\r\n");
		add_decision(&d->list[i], out);
		for (size_t n = 0; n < d->n_of; n++) {
			if (d->of[n] != i)
				continue;
			first = first == SIZE_MAX ? n : first;
			if (all++ < NOTICE_RCPTS_MOST) {
				add_recipient(in, n, a, out);
				told++;
			}
		}
		add_facts(in, d->list[i].verdict.rule, first, a, out);
	}
	if (all > told)
		(void)buf_printf(out, "and %zu recipients more\r\n", all - told);
}

/* Whole lines, as many as go in. */
static struct slice
header_of(const struct message *m)
{
	if (m == NULL || m->n_fields == 0)
		return SLICE_NONE;
	const struct message_field *last = &m->fields[m->n_fields - 1];
	const char *from = m->fields[0].raw.p;
	struct slice header = {from, (size_t)(last->raw.p + last->raw.n - from)};
	if (header.n <= HEADER_MOST)
		return header;
	header = slice_first(header, HEADER_MOST);
	size_t end = slice_find_last(header, '\n');
	return end < header.n ? slice_first(header, end + 1) : SLICE_NONE;
}

struct slice
copies_notice_text(const struct parcels_input *in, const struct rule *r, uint64_t left_out,
	struct arena *a)
{
	struct slice boundary = boundary_of(in, "notice", r->at.line, a);
	struct buf out;
	buf_init(&out, NOTICE_MOST);
	add_head(in, "Notice", r->text, r->at.line, boundary, &out);
	(void)buf_add_text(&out, "\r\n");
	add_part(&out, boundary, "text/plain; charset=utf-8");
	(void)buf_printf(&out,
		"A rule of the mail gateway %.*s asks for this notice.\r\n\r\n"
		"Rule: %s:%u\r\n",
		SLICE_ARG(in->config->conf->hostname), r->at.file, r->at.line);
	add_facts(in, r, 0, a, &out);
	add_envelope(in, &out);
	add_decisions(in, r, a, &out);
	if (left_out != 0)
		(void)buf_printf(&out,
			"\r\nSince the last notice of this rule %llu others were not sent: at "
			"most one leaves in a minute.\r\n",
			(unsigned long long)left_out);
	(void)buf_printf(&out, "\r\nThe header of the mail is attached.\r\n\r\n");
	add_part(&out, boundary, "text/rfc822-headers");
	(void)buf_add(&out, header_of(in->mail->message));
	(void)buf_printf(&out, "\r\n--%.*s--\r\n", SLICE_ARG(boundary));
	struct slice text = arena_slice(a, buf_slice(&out));
	buf_fini(&out);
	return text;
}
