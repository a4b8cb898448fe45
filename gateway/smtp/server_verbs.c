/*
 * The commands: a table of verb by state says what is taken when; one function for each verb
 * checks its arguments and answers, or makes the event that the driver decides (RFC 5321 4.1).
 */
#include "base/must.h"
#include "smtp/server_priv.h"

enum verb_action {
	NO = 0, /* not offered: 502 5.5.1 */
	DO,
	SEQ, /* wrong order: 503 5.5.1 */
};

struct verb {
	struct slice name;
	void (*run)(struct smtp_server *s, struct slice args, struct slice line);
	bool awaited; /* nothing may be sent before its reply (SRV-03) */
	enum verb_action action[SMTP_ST_COMMAND_STATES];
};

/* Verbs of other protocols that speak to us by accident or through a browser (SRV-13). */
static const struct slice other_protocols[] = {
	SLICE("GET"),
	SLICE("POST"),
	SLICE("HEAD"),
	SLICE("PUT"),
	SLICE("OPTIONS"),
	SLICE("DELETE"),
	SLICE("PATCH"),
	SLICE("TRACE"),
	SLICE("CONNECT"),
	SLICE("PRI"),
};

/* The policy judges it. */
static bool
is_helo_name(struct slice name)
{
	for (size_t i = 0; i < name.n; i++)
		if (!smtp_helo_byte(name.p[i]))
			return false;
	return name.n > 0 && name.n <= 255; /* RFC 5321 4.5.3.1.2 */
}

static void
hello(struct smtp_server *s, struct slice args, struct slice line, bool esmtp)
{
	if (!is_helo_name(args)) {
		server_refuse(s, "501 5.5.4 EHLO and HELO need a domain name", line);
		return;
	}
	server_end_transaction(s);
	s->state = SMTP_ST_START; /* until the driver says 250 */
	s->esmtp = esmtp;
	server_owe(
		s, (struct waiting_event){
			   .type = SMTP_EV_HELO, .name = server_keep(s, args), .esmtp = esmtp});
}

static void
run_ehlo(struct smtp_server *s, struct slice args, struct slice line)
{
	hello(s, args, line, true);
}

static void
run_helo(struct smtp_server *s, struct slice args, struct slice line)
{
	hello(s, args, line, false);
}

struct smtp_reply
smtp_server_address_refusal(enum address_error e, bool reverse)
{
	struct smtp_reply r = smtp_reply_of(e == ADDRESS_UTF8 ? "553 5.6.7"
					    : reverse         ? "501 5.1.7"
							      : "501 5.1.3");
	r.text = slice_of(address_error_text(e));
	return r;
}

static void
refuse_address(struct smtp_server *s, enum address_error e, bool reverse, struct slice line)
{
	server_refuse_with(s, smtp_server_address_refusal(e, reverse), line);
}

/* What is on offer now: nothing to a client that said HELO. */
static struct smtp_offer
current_offer(const struct smtp_server *s)
{
	struct smtp_offer o = {.sizeless = true};
	if (s->esmtp)
		o = s->offer;
	o.sizeless = !s->esmtp;
	return o;
}

static struct transaction *
new_transaction(const struct smtp_server *s)
{
	struct arena *a = arena_new((s->limits->recipients + 2) * TRANSACTION_COMMAND_BYTES);
	struct transaction *t = ARENA_NEW(a, struct transaction);
	t->arena = a;
	return t;
}

/* "FROM:" or "TO:" off the front of *args, and the blanks that many put behind it. */
static bool
take_keyword(struct slice *args, struct slice keyword)
{
	if (!slice_starts_nocase(*args, keyword))
		return false;
	*args = slice_from(*args, keyword.n);
	while (args->n > 0 && args->p[0] == ' ')
		*args = slice_from(*args, 1);
	return true;
}

/* Fills t; false: refused. */
static bool
read_mail(struct smtp_server *s, struct transaction *t, struct slice args, struct slice line)
{
	struct smtp_offer offer = current_offer(s);
	struct smtp_reply why;
	struct slice params;
	if (!take_keyword(&args, SLICE("FROM:"))) {
		server_refuse(s, "501 5.5.4 MAIL FROM:<address> was expected", line);
		return false;
	}
	/* whether SMTPUTF8 is asked for stands behind the address */
	enum address_error e =
		address_parse_path(args, true, offer.smtputf8, t->arena, &t->address, &params);
	if (e != ADDRESS_OK) {
		refuse_address(s, e, true, line);
		return false;
	}
	if (!smtp_params_mail(params, &offer, t->arena, &t->mail, &why)) {
		server_refuse_with(s, why, line);
		return false;
	}
	if (t->address.utf8 && !t->mail.smtputf8) {
		refuse_address(s, ADDRESS_UTF8, true, line);
		return false;
	}
	return true;
}

static void
run_mail(struct smtp_server *s, struct slice args, struct slice line)
{
	if (s->transactions >= s->limits->transactions) {
		server_close_with(s, smtp_reply_of("421 4.7.0 Too many mails in one session"));
		return;
	}
	s->t = new_transaction(s);
	if (!read_mail(s, s->t, args, line)) {
		server_end_transaction(s);
		return;
	}
	s->transactions++;
	server_owe(s, (struct waiting_event){.type = SMTP_EV_MAIL});
}

static void
run_rcpt(struct smtp_server *s, struct slice args, struct slice line)
{
	struct transaction *t = s->t;
	struct smtp_offer offer = current_offer(s);
	struct smtp_reply why;
	struct slice params;
	if (t->recipients >= s->limits->recipients ||
		arena_room(t->arena) < TRANSACTION_COMMAND_BYTES) {
		server_refuse(s, "452 4.5.3 Too many recipients", line);
		server_count_refused(s);
		return;
	}
	if (!take_keyword(&args, SLICE("TO:"))) {
		server_refuse(s, "501 5.5.4 RCPT TO:<address> was expected", line);
		return;
	}
	enum address_error e = address_parse_path(
		args, false, t->mail.smtputf8, t->arena, &t->address, &params);
	if (e != ADDRESS_OK)
		refuse_address(s, e, false, line);
	else if (!smtp_params_rcpt(params, &offer, t->arena, &t->rcpt, &why))
		server_refuse_with(s, why, line);
	else
		server_owe(s, (struct waiting_event){.type = SMTP_EV_RCPT});
}

static void
run_data(struct smtp_server *s, struct slice args, struct slice line)
{
	if (args.n > 0)
		server_refuse(s, "501 5.5.4 DATA takes no argument", line);
	else if (s->t->recipients == 0)
		server_refuse(s, "554 5.5.1 No recipient was accepted", line);
	else
		server_owe(s, (struct waiting_event){.type = SMTP_EV_DATA});
}

/*
 * Never offered: what follows is a chunk of a mail, whose author must not get to write
 * commands. We do not know how much of it to pass over, nor want to, so this is the end.
 */
static void
run_bdat(struct smtp_server *s, struct slice args, struct slice line)
{
	(void)args;
	server_refuse_and_close(s, "502 5.5.1 BDAT is not offered", line);
}

static void
run_rset(struct smtp_server *s, struct slice args, struct slice line)
{
	if (args.n > 0) {
		server_refuse(s, "501 5.5.4 RSET takes no argument", line);
		return;
	}
	server_end_transaction(s);
	server_say(s, smtp_reply_of("250 2.0.0 Reset"));
}

static void
run_noop(struct smtp_server *s, struct slice args, struct slice line)
{
	(void)args, (void)line;
	server_say(s, smtp_reply_of("250 2.0.0 Nothing done"));
}

static void
run_vrfy(struct smtp_server *s, struct slice args, struct slice line)
{
	if (args.n == 0)
		server_refuse(s, "501 5.5.4 VRFY needs an address", line);
	else
		server_say(s, smtp_reply_of("252 2.0.0 Not verified: RCPT TO will tell"));
}

static void
run_help(struct smtp_server *s, struct slice args, struct slice line)
{
	(void)args, (void)line;
	server_say(s, smtp_reply_of("214 2.0.0 RFC 5321 says it all"));
}

static void
run_quit(struct smtp_server *s, struct slice args, struct slice line)
{
	(void)args, (void)line;
	server_close_with(s, smtp_reply_of("221 2.0.0 Bye"));
}

static void
run_starttls(struct smtp_server *s, struct slice args, struct slice line)
{
	if (s->tls)
		server_refuse(s, "503 5.5.1 TLS is in use", line);
	else if (!s->offer.tls || !s->esmtp)
		server_refuse(s, "502 5.5.1 STARTTLS is not offered", line);
	else if (args.n > 0)
		server_refuse(s, "501 5.5.4 STARTTLS takes no argument", line);
	else
		server_owe(s, (struct waiting_event){.type = SMTP_EV_STARTTLS});
}

/* clang-format off */
static const struct verb verbs[] = {
	/* verb                                 START REFUSED READY MAIL RCPT */
	{SLICE("EHLO"), run_ehlo, true,         {DO,  SEQ,    DO,   DO,  DO}},
	{SLICE("HELO"), run_helo, true,         {DO,  SEQ,    DO,   DO,  DO}},
	{SLICE("MAIL"), run_mail, false,        {SEQ, SEQ,    DO,   SEQ, SEQ}},
	{SLICE("RCPT"), run_rcpt, false,        {SEQ, SEQ,    SEQ,  DO,  DO}},
	{SLICE("DATA"), run_data, true,         {SEQ, SEQ,    SEQ,  DO,  DO}},
	{SLICE("BDAT"), run_bdat, false,        {DO,  DO,     DO,   DO,  DO}},
	{SLICE("RSET"), run_rset, false,        {DO,  SEQ,    DO,   DO,  DO}},
	{SLICE("NOOP"), run_noop, false,        {DO,  SEQ,    DO,   DO,  DO}},
	{SLICE("QUIT"), run_quit, false,        {DO,  DO,     DO,   DO,  DO}},
	{SLICE("VRFY"), run_vrfy, false,        {DO,  SEQ,    DO,   DO,  DO}},
	{SLICE("EXPN"), NULL, false,            {NO,  SEQ,    NO,   NO,  NO}},
	{SLICE("HELP"), run_help, false,        {DO,  SEQ,    DO,   DO,  DO}},
	{SLICE("STARTTLS"), run_starttls, true, {SEQ, SEQ,    DO,   SEQ, SEQ}},
	{SLICE("AUTH"), server_auth, true,      {SEQ, SEQ,    DO,   SEQ, SEQ}},
	{SLICE("XCLIENT"), server_xclient, true,   {DO,  SEQ,    DO,   SEQ, SEQ}},
	{SLICE("XFORWARD"), server_xforward, false, {SEQ, SEQ,   DO,   SEQ, SEQ}},
	{SLICE("ETRN"), NULL, false,            {NO,  SEQ,    NO,   NO,  NO}},
	{SLICE("TURN"), NULL, false,            {NO,  SEQ,    NO,   NO,  NO}},
};
/* clang-format on */

static const struct verb *
find_verb(struct slice name)
{
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (slice_eq_nocase(name, verbs[i].name))
			return &verbs[i];
	return NULL;
}

static bool
is_other_protocol(struct slice name)
{
	for (size_t i = 0; i < sizeof(other_protocols) / sizeof(other_protocols[0]); i++)
		if (slice_eq(name, other_protocols[i]))
			return true;
	return false;
}

/* RFC 5321 4.5.3.1.4, and what each extension adds (1870 2, 6531 3.4, 3461 4 and 5, 4954 3 and
 * 4). */
static size_t
command_most(const struct smtp_server *s, const struct verb *v)
{
	struct smtp_offer o = current_offer(s);
	size_t most = s->limits->command_bytes;
	if (v->run == server_auth || v->run == server_xclient || v->run == server_xforward)
		return LINE_BYTES_MOST;
	if (v->run == run_mail)
		most += (o.sizeless ? 0 : 26u) + (o.eightbit ? 17u : 0) +
			(o.smtputf8 ? 10u : 0) + (o.dsn ? 8u + 107u : 0) +
			(o.auth != NULL ? 500u : 0);
	if (v->run == run_rcpt)
		most += (o.smtputf8 ? 10u : 0) + (o.dsn ? 28u + 500u : 0);
	return most;
}

static void
unknown_verb(struct smtp_server *s, struct slice name, struct slice line)
{
	if (is_other_protocol(name))
		server_refuse_and_close(s, "554 5.5.1 This is SMTP", line);
	else
		server_refuse(s, "500 5.5.2 Command not known", line);
}

static void
run_verb(struct smtp_server *s, const struct verb *v, struct slice args, struct slice line)
{
	enum verb_action action = v->action[s->state];
	bool taken = false;
	if (line.n + 2 > command_most(s, v)) {
		server_refuse(s, "500 5.5.2 Line too long", line);
	} else if (action == SEQ) {
		server_refuse(s, "503 5.5.1 Not now: wrong order of commands", line);
	} else if (action == NO) {
		server_refuse(s, "502 5.5.1 Not offered here", line);
	} else {
		v->run(s, args, line);
		taken = s->owed != SMTP_EV_NONE;
	}
	/* SRV-04: MAIL or DATA refused, in whatever way, leaves no transaction behind */
	if (!taken && (v->run == run_mail || v->run == run_data))
		server_end_transaction(s);
	if (!taken && v->awaited)
		s->sync = true;
}

void
server_command(struct smtp_server *s, struct slice line)
{
	struct slice name, args;
	slice_cut(line, ' ', &name, &args);
	while (args.n > 0 && args.p[0] == ' ')
		args = slice_from(args, 1);
	while (args.n > 0 && args.p[args.n - 1] == ' ')
		args.n--;
	const struct verb *v = find_verb(name);
	s->commands++;
	if (v != NULL && v->run == run_quit)
		run_quit(s, args, line);
	else if (s->commands > s->limits->commands)
		server_close_with(s, smtp_reply_of("421 4.7.0 Too many commands"));
	else if (s->errors >= s->limits->errors)
		server_close_with(s, smtp_reply_of("421 4.7.0 Too many errors"));
	else if (v != NULL)
		run_verb(s, v, args, line);
	else
		unknown_verb(s, name, line);
}
