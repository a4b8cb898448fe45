/*
 * A mail at the milter's gate, from MAIL to its last byte: the same pipeline as gate_mail.c, on
 * what the MTA tells of it. The header is put together again as it came by SMTP, byte for byte
 * where the MTA says how (MLT-05), so that signatures verify and one parser reads it.
 */
#include <string.h>

#include "base/must.h"
#include "session/milter_gate_priv.h"
#include "session/modes.h"
#include "session/rights.h"
#include "session/told.h"
#include "smtp/server.h"

/* The header is gathered and handed on in pieces of this size. */
enum { HEADER_PIECE = 64 * 1024, SENDER_MOST = 256 * 1024, PATH_MOST = 1024 };
/* An MTA shows as many recipients as its client names: those that do not fit are put off. */
enum { RCPT_ROOM = 8 * 1024 * 1024 };

static struct told
told_of(struct milter_gate *g)
{
	return (struct told){.config = milter_gate_side(g),
		.session = &g->session,
		.pipeline = g->pipeline,
		.log = g->in_mail ? pipeline_log(g->pipeline) : &g->log,
		.queue = g->queue};
}

void
milter_gate_log(struct milter_gate *g, const char *decision, const struct smtp_reply *r)
{
	const struct decisions *d = pipeline_outcome(g->pipeline)->decisions;
	struct told t = told_of(g);
	if (g->kept) {
		t.kept_by = "mta";
		told_decision(&t, d, (size_t)(decisions_find(d, ACTION_QUARANTINE) - d->list));
	}
	told_mail(&t, decision, r);
}

static void
log_refused(struct milter_gate *g, const struct address *rcpt, const struct smtp_reply *r,
	const struct outcome *o)
{
	struct told t = told_of(g);
	struct arena *a = arena_new(4 * SMTP_REPLY_BYTES_MOST); /* there may be thousands */
	told_refused(&t, &pipeline_the_mail(g->pipeline)->sender, rcpt, r, o, a);
	arena_free(&a);
}

void
milter_gate_mail_end(struct milter_gate *g)
{
	g->waiting = g->signing = g->signing_told = g->ready = false;
	g->about = MILTER_ABOUT_NOTHING;
	if (!g->in_mail)
		return;
	pipeline_mail_end(g->pipeline);
	buf_fini(&g->header);
	arena_free(&g->sender);
	g->in_mail = g->in_data = g->in_text = g->over = g->text_lost = g->kept = false;
	g->paths = NULL;
	g->paths_room = 0;
	g->queue = SLICE_NONE;
	g->refusal = (struct smtp_reply){0};
}

/* --- the envelope */

/* A path without domain, as a program on the MTA's machine gives it: the MTA will add its own.
 */
static enum address_error
parse_path(const struct milter_gate *g, struct slice path, bool reverse, struct arena *a,
	struct address *address_out)
{
	struct slice rest;
	if (path.n > PATH_MOST)
		return ADDRESS_TOO_LONG;
	enum address_error e = address_parse_path(path, reverse, true, a, address_out, &rest);
	struct slice local = slice_trim(path);
	if (slice_starts(local, SLICE("<")) && slice_ends(local, SLICE(">")))
		local = slice_first(slice_from(local, 1), local.n - 2);
	if (e == ADDRESS_OK || local.n == 0 || slice_has(local, '@'))
		return e;
	struct slice whole = arena_printf(a, "%.*s@%.*s", SLICE_ARG(local),
		SLICE_ARG(g->config->side[INBOUND].conf->hostname));
	return address_parse(whole, true, a, address_out);
}

/* The MTA has taken the parameters: one that we do not know changes nothing. */
static void
mail_params(const struct milter_event *ev, struct arena *a, struct smtp_mail_params *p_out)
{
	static const struct smtp_offer all = {.smtputf8 = true,
		.dsn = true,
		.eightbit = true,
		.size = UINT64_MAX,
		.auth = ""};
	*p_out = (struct smtp_mail_params){0};
	for (size_t i = 1; i < ev->n_args; i++) {
		struct smtp_mail_params one;
		struct smtp_reply ignored;
		if (ev->args[i].n > PATH_MOST)
			continue;
		/* as it stands behind a path, which the MTA has cut into words */
		struct slice param = arena_printf(a, " %.*s", SLICE_ARG(ev->args[i]));
		if (!smtp_params_mail(param, &all, a, &one, &ignored))
			continue;
		p_out->smtputf8 = p_out->smtputf8 || one.smtputf8;
		if (one.size != 0)
			p_out->size = one.size;
		if (one.body != SMTP_BODY_NONE)
			p_out->body = one.body;
	}
}

/* Where the MTA awaits no answer the refusal is given at RCPT. */
static void
refuse_sender(struct milter_gate *g, struct smtp_reply r, const char *rule)
{
	struct outcome o = {.builtin = rule};
	g->refusal = r;
	g->refusal_rule = rule;
	if ((g->agreed & MILTER_NR_MAIL) != 0) {
		milter_gate_say(g, MILTER_CONTINUE);
		return;
	}
	log_refused(g, NULL, &r, &o);
	milter_gate_refuse(g, r);
}

void
milter_gate_mail(struct milter_gate *g, const struct milter_event *ev)
{
	const struct conf *conf = g->config->side[g->direction].conf;
	struct address sender = {.is_null = true};
	struct smtp_mail_params params;
	struct slice path = ev->n_args != 0 ? ev->args[0] : SLICE_NONE;
	g->sender = arena_new(SENDER_MOST);
	enum address_error e = parse_path(g, path, true, g->sender, &sender);
	if (e != ADDRESS_OK)
		sender = (struct address){.is_null = true};
	mail_params(ev, g->sender, &params);
	pipeline_mail(g->pipeline, &sender, &params);
	g->in_mail = true;
	dot_reader_init(
		&g->text, smtp_server_limits_default.text_line_bytes, conf->limits.mail_bytes);
	g->text.plain = true;
	buf_init(&g->header, HEADER_PIECE);
	struct smtp_reply no = modes_reply(g->config->listener->mode,
		rights_envelope(conf, LISTEN_MILTER, &g->session, &sender));
	if (e != ADDRESS_OK)
		refuse_sender(g, smtp_server_address_refusal(e, true), "reverse-path");
	else if (no.code != 0)
		refuse_sender(g, no, "sender-rights");
	else
		milter_gate_say(g, MILTER_CONTINUE);
}

static void
refuse_rcpt(struct milter_gate *g, struct smtp_reply r, const struct outcome *o)
{
	g->rcpts_refused++;
	log_refused(g, &g->rcpt, &r, o);
	milter_gate_refuse(g, r);
}

static void
refuse_builtin(struct milter_gate *g, const char *words, const char *rule)
{
	refuse_rcpt(g, smtp_reply_of(words), &(struct outcome){.builtin = rule});
}

void
milter_gate_rcpt(struct milter_gate *g, const struct milter_event *ev)
{
	const struct conf *conf = g->config->side[g->direction].conf;
	struct arena *a = pipeline_arena(g->pipeline);
	g->rcpt = (struct address){0};
	if (arena_room(a) < RCPT_ROOM) {
		refuse_builtin(g, "452 4.5.3 Too many recipients", "recipients");
		return;
	}
	struct slice path =
		ev->n_args != 0 ? slice_first(ev->args[0], PATH_MOST + 1) : SLICE_NONE;
	g->path = arena_slice(a, path);
	enum address_error e = parse_path(g, g->path, false, a, &g->rcpt);
	if (e != ADDRESS_OK)
		g->rcpt = (struct address){.text = g->path};
	if (g->refusal.code != 0)
		refuse_rcpt(g, g->refusal, &(struct outcome){.builtin = g->refusal_rule});
	else if (e != ADDRESS_OK)
		refuse_rcpt(g, smtp_server_address_refusal(e, false),
			&(struct outcome){.builtin = "forward-path"});
	else if (g->marked)
		refuse_builtin(g,
			"451 4.7.0 Connections from your address have failed here, try again "
			"in an hour",
			"marked");
	else if (pipeline_the_mail(g->pipeline)->n_recipients >= conf->limits.recipients)
		refuse_builtin(g, "452 4.5.3 Too many recipients", "recipients");
	else {
		pipeline_postmaster(g->pipeline, &g->rcpt);
		g->about = MILTER_ABOUT_RCPT;
		milter_gate_step(g, pipeline_rcpt(g->pipeline, &g->rcpt,
					    conf_domain_find(conf, g->rcpt.domain)));
	}
}

static void
keep_path(struct milter_gate *g)
{
	size_t n = pipeline_the_mail(g->pipeline)->n_recipients;
	if (n > g->paths_room) {
		size_t room = g->paths_room != 0 ? g->paths_room * 2 : 4;
		struct slice *more =
			arena_array(pipeline_arena(g->pipeline), room, sizeof(*more));
		if (g->paths_room != 0)
			memcpy(more, g->paths, g->paths_room * sizeof(*more));
		g->paths = more;
		g->paths_room = room;
	}
	g->paths[n - 1] = g->path;
}

static void
rcpt_decided(struct milter_gate *g, enum step s)
{
	const struct outcome *o = pipeline_outcome(g->pipeline);
	if (s == STEP_GO) {
		keep_path(g);
		milter_gate_say(g, MILTER_CONTINUE);
	} else {
		refuse_rcpt(g, o->reply, o);
	}
}

/* --- the data */

static void
data_decided(struct milter_gate *g, enum step s)
{
	struct smtp_reply r = pipeline_outcome(g->pipeline)->reply;
	if (s == STEP_GO) {
		milter_gate_say(g, MILTER_CONTINUE);
		return;
	}
	g->refused++;
	milter_gate_log(g, action_text(pipeline_outcome(g->pipeline)->action), &r);
	milter_gate_refuse(g, r);
}

void
milter_gate_step(struct milter_gate *g, enum step s)
{
	g->waiting = s == STEP_WAIT;
	if (g->waiting)
		return;
	switch (g->about) {
	case MILTER_ABOUT_NOTHING: break;
	case MILTER_ABOUT_RCPT: rcpt_decided(g, s); break;
	case MILTER_ABOUT_DATA: data_decided(g, s); break;
	case MILTER_ABOUT_END: milter_gate_decided(g, s); break;
	}
}

/* A mail whose recipients the MTA has not shown cannot be judged; it does not pass unjudged. */
static bool
has_recipients(struct milter_gate *g)
{
	if (pipeline_the_mail(g->pipeline)->n_recipients != 0)
		return true;
	g->refusal =
		smtp_reply_of("451 4.3.0 The mail's recipients are not known to the filter");
	g->refusal_rule = "no-recipient";
	return false;
}

void
milter_gate_data(struct milter_gate *g)
{
	g->in_data = true;
	if (!has_recipients(g)) {
		milter_gate_refuse(g, g->refusal);
		return;
	}
	g->about = MILTER_ABOUT_DATA;
	milter_gate_step(g, pipeline_data(g->pipeline));
}

/* The MTA was not asked to tell of DATA, or is too old to: nothing can be answered here. */
static void
data_unseen(struct milter_gate *g)
{
	if (g->in_data)
		return;
	g->in_data = true;
	if (has_recipients(g) && pipeline_data(g->pipeline) == STEP_REFUSE)
		g->refusal = pipeline_outcome(g->pipeline)->reply;
}

static void
add_text(struct milter_gate *g, struct slice bytes)
{
	struct slice rest = bytes, data;
	while (rest.n != 0 && g->text.faults == DOT_CLEAN)
		rest = slice_from(rest, dot_reader_feed(&g->text, rest, &data));
	g->text_lost = g->text_lost || g->text.faults != DOT_CLEAN || g->refusal.code != 0;
	if (!g->text_lost)
		pipeline_body(g->pipeline, bytes);
}

static void
flush_header(struct milter_gate *g)
{
	add_text(g, buf_slice(&g->header));
	buf_clear(&g->header);
}

static void
add_header(struct milter_gate *g, struct slice bytes)
{
	if (bytes.n > buf_left(&g->header))
		flush_header(g);
	if (buf_add(&g->header, bytes) < 0)
		add_text(g, bytes);
}

/*
 * Folds are CRLF here, whichever the MTA writes; a line that would end the header or begin a
 * field of its own is made a fold.
 */
static void
add_folded(struct milter_gate *g, struct slice value)
{
	struct slice line;
	while (slice_cut(value, '\n', &line, &value)) {
		add_header(g,
			slice_ends(line, SLICE("\r")) ? slice_first(line, line.n - 1) : line);
		add_header(g, SLICE("\r\n"));
		if (value.n == 0 || (value.p[0] != ' ' && value.p[0] != '\t'))
			add_header(g, SLICE(" "));
	}
	add_header(g, line);
	add_header(g, SLICE("\r\n"));
}

void
milter_gate_header(struct milter_gate *g, const struct milter_event *ev)
{
	data_unseen(g);
	add_header(g, ev->name);
	add_header(g, SLICE(":"));
	if (!ev->has_space && ev->value.n != 0)
		add_header(g, SLICE(" "));
	add_folded(g, ev->value);
	milter_gate_say(g, MILTER_CONTINUE);
}

/* The body, in pieces; without any an empty one, to end the header. */
void
milter_gate_text(struct milter_gate *g, struct slice bytes)
{
	data_unseen(g);
	if (!g->in_text) {
		add_header(g, SLICE("\r\n"));
		flush_header(g);
	}
	g->in_text = true;
	add_text(g, bytes);
}
