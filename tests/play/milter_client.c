/* Packets of an MTA out, replies of a milter in; see milter_client.h. */
#include "milter_client.h"

#include "base/must.h"

enum { BYTES_MOST = 4 * 1024 * 1024, PACKET_MOST = 1024 * 1024 };

/* What is known of each command: which steps leave it or its answer out, whose macros it has.
 */
static const struct command {
	char command;
	uint32_t no, no_reply, version;
	int stage; /* SMFIM_, -1: no macros */
	bool answered;
} commands[] = {
	{SMFIC_CONNECT, SMFIP_NOCONNECT, SMFIP_NR_CONN, 2, SMFIM_CONNECT, true},
	{SMFIC_HELO, SMFIP_NOHELO, SMFIP_NR_HELO, 2, SMFIM_HELO, true},
	{SMFIC_MAIL, SMFIP_NOMAIL, SMFIP_NR_MAIL, 2, SMFIM_ENVFROM, true},
	{SMFIC_RCPT, SMFIP_NORCPT, SMFIP_NR_RCPT, 2, SMFIM_ENVRCPT, true},
	{SMFIC_DATA, SMFIP_NODATA, SMFIP_NR_DATA, 4, SMFIM_DATA, true},
	{SMFIC_HEADER, SMFIP_NOHDRS, SMFIP_NR_HDR, 2, -1, true},
	{SMFIC_EOH, SMFIP_NOEOH, SMFIP_NR_EOH, 2, SMFIM_EOH, true},
	{SMFIC_BODY, SMFIP_NOBODY, SMFIP_NR_BODY, 2, -1, true},
	{SMFIC_BODYEOB, 0, 0, 2, SMFIM_EOM, true},
	{SMFIC_UNKNOWN, SMFIP_NOUNKNOWN, SMFIP_NR_UNKN, 3, -1, true},
	{SMFIC_ABORT, 0, 0, 2, -1, false},
	{SMFIC_QUIT, 0, 0, 2, -1, false},
	{SMFIC_QUIT_NC, 0, 0, 6, -1, false},
};

static void
wrong(struct milter_client *c, const char *why)
{
	if (c->wrong.n == 0)
		c->wrong = arena_printf(c->arena, "the milter says what it may not: %s", why);
}

/* --- to the milter */

static void
put_u32(struct buf *out, uint32_t v)
{
	char bytes[4] = {(char)(v >> 24), (char)(v >> 16), (char)(v >> 8), (char)v};
	must(buf_add(out, (struct slice){bytes, 4}) == 0);
}

static void
put_packet(struct milter_client *c, char command, struct slice data)
{
	must(data.n < PACKET_MOST);
	put_u32(&c->out, (uint32_t)data.n + 1);
	must(buf_add_byte(&c->out, command) == 0 && buf_add(&c->out, data) == 0);
}

void
milter_client_init(
	struct milter_client *c, const struct milter_client_offer *offer, struct arena *a)
{
	struct buf data;
	*c = (struct milter_client){.arena = a, .agreed = *offer};
	buf_init(&c->out, BYTES_MOST);
	buf_init(&c->in, BYTES_MOST);
	buf_init(&data, MILTER_OPTLEN);
	put_u32(&data, offer->version);
	put_u32(&data, offer->can);
	put_u32(&data, offer->steps);
	put_packet(c, SMFIC_OPTNEG, buf_slice(&data));
	buf_fini(&data);
	c->awaits = SMFIC_OPTNEG;
}

void
milter_client_fini(struct milter_client *c)
{
	buf_fini(&c->out);
	buf_fini(&c->in);
}

/* A list without a name: the MTA sends nothing; with names that have no value: an empty 'D'. */
static void
put_macros(struct milter_client *c, const struct command *k,
	const struct milter_client_macro *macros, size_t n)
{
	struct slice rest = k->stage < 0 ? SLICE_NONE : c->agreed.macros[k->stage], name;
	struct buf data;
	if (c->agreed.no_macros || rest.n == 0)
		return;
	buf_init(&data, PACKET_MOST);
	(void)buf_add_byte(&data, k->command);
	while (rest.n != 0) {
		slice_cut(rest, ' ', &name, &rest);
		for (size_t i = 0; i < n; i++) {
			if (!slice_eq(macros[i].name, name) || macros[i].value.n == 0)
				continue;
			must(buf_add(&data, name) == 0 && buf_add_byte(&data, '\0') == 0);
			must(buf_add(&data, macros[i].value) == 0);
			must(buf_add_byte(&data, '\0') == 0);
		}
	}
	put_packet(c, SMFIC_MACRO, buf_slice(&data));
	buf_fini(&data);
}

bool
milter_client_tell(struct milter_client *c, char command, struct slice data,
	const struct milter_client_macro *macros, size_t n)
{
	const struct command *k = commands;
	while (k->command != command)
		k++;
	must(c->is_agreed && c->awaits == 0);
	if ((c->agreed.steps & k->no) != 0 || c->agreed.version < k->version)
		return false;
	put_macros(c, k, macros, n);
	put_packet(c, command, data);
	if (k->answered && (c->agreed.steps & k->no_reply) == 0)
		c->awaits = command;
	return true;
}

bool
milter_client_has_space(const struct milter_client *c)
{
	return (c->agreed.steps & SMFIP_HDR_LEADSPC) != 0;
}

/* --- from the milter */

void
milter_client_feed(struct milter_client *c, struct slice in)
{
	must(buf_add(&c->in, in) == 0);
}

static bool
get_u32(struct slice *data, uint32_t *v_out)
{
	uint32_t v = 0;
	if (data->n < 4)
		return false;
	for (size_t i = 0; i < 4; i++)
		v = v << 8 | (unsigned char)data->p[i];
	*v_out = v;
	*data = slice_from(*data, 4);
	return true;
}

/* What is behind the three numbers: a list of macros for each stage that the milter names. */
static const char *
read_lists(struct milter_client *c, struct slice data)
{
	while (data.n != 0) {
		uint32_t stage;
		struct slice list;
		if (!get_u32(&data, &stage) || stage > SMFIM_LAST)
			return "a list of macros for no stage";
		if (!slice_cut(data, '\0', &list, &data))
			return "a list of macros without end";
		if ((c->agreed.can & SMFIF_SETSYMLIST) == 0)
			return "a list of macros that was not agreed on";
		c->agreed.macros[stage] = arena_slice(c->arena, list);
	}
	return NULL;
}

static const char *
read_agreement(struct milter_client *c, struct slice data)
{
	uint32_t version, can, steps;
	if (!get_u32(&data, &version) || !get_u32(&data, &can) || !get_u32(&data, &steps))
		return "a short negotiation";
	if (version < 2 || version > c->agreed.version)
		return "a version that was not offered";
	if ((can & ~c->agreed.can) != 0)
		return "an action that was not offered";
	if ((steps & ~c->agreed.steps) != 0)
		return "a step that was not offered";
	c->agreed.version = version;
	c->agreed.can = can;
	c->agreed.steps = steps;
	c->is_agreed = true;
	return read_lists(c, data);
}

/* The MTA prints it as a format: "%%" is one, and one alone would be read as more. */
static const char *
undouble(struct slice text, struct buf *out)
{
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] == '%' && (++i == text.n || text.p[i] != '%'))
			return "a '%' that is a format";
		must(buf_add_byte(out, text.p[i]) == 0);
	}
	return NULL;
}

/* "550-5.7.1 a CRLF 550 5.7.1 b", as smfi_setmlreply makes it. */
static const char *
check_lines(struct slice text)
{
	struct slice line, rest = text, code = slice_first(text, 3);
	while (rest.n != 0) {
		size_t end = slice_find_slice(rest, SLICE("\r\n"));
		line = slice_first(rest, end);
		bool last = end == rest.n;
		rest = slice_from(rest, end + 2);
		if (line.n < 6 || !slice_eq(slice_first(line, 3), code))
			return "lines of a reply with different codes";
		if (line.p[3] != (last ? ' ' : '-'))
			return "a reply whose lines are not joined by '-'";
		if (slice_has(line, '\r') || slice_has(line, '\n'))
			return "a bare CR or LF in a reply";
		if (line.p[4] != line.p[0] || line.p[5] != '.')
			return "an enhanced code of another class";
		if (!last && rest.n == 0)
			return "a CRLF behind a reply";
	}
	return text.n == 0 || (code.p[0] != '4' && code.p[0] != '5') ? "a reply without code"
								     : NULL;
}

static const char *
read_reply(struct milter_client *c, struct slice data, struct smtp_reply *r_out)
{
	struct buf text;
	struct slice string;
	size_t taken;
	if (!slice_cut(data, '\0', &string, &data) || data.n != 0)
		return "a reply without end";
	buf_init(&text, BYTES_MOST);
	const char *why = undouble(string, &text);
	if (why == NULL)
		why = check_lines(buf_slice(&text));
	if (why == NULL) {
		must(buf_add_text(&text, "\r\n") == 0);
		if (smtp_reply_read(buf_slice(&text), c->arena, r_out, &taken) != 0)
			why = "what is no reply";
	}
	buf_fini(&text);
	return why;
}

static const char *
read_edit(struct milter_client *c, struct slice data, struct milter_client_reply *r)
{
	static const struct {
		char code;
		uint32_t can;
		bool of_header;
	} edits[] = {
		{SMFIR_INSHEADER, SMFIF_ADDHDRS, true},
		{SMFIR_CHGHEADER, SMFIF_CHGHDRS, true},
		{SMFIR_ADDRCPT, SMFIF_ADDRCPT, false},
		{SMFIR_DELRCPT, SMFIF_DELRCPT, false},
		{SMFIR_QUARANTINE, SMFIF_QUARANTINE, false},
	};
	for (size_t i = 0; i < sizeof(edits) / sizeof(edits[0]); i++) {
		if (edits[i].code != r->code)
			continue;
		if ((c->agreed.can & edits[i].can) == 0)
			return "an edit that was not agreed on";
		if (edits[i].of_header &&
			(!get_u32(&data, &r->index) ||
				!slice_cut(data, '\0', &r->name, &data) || r->name.n == 0))
			return "an edit of no field";
		if (!slice_cut(data, '\0', &r->value, &data) || data.n != 0)
			return "an edit without end";
		r->name = arena_slice(c->arena, r->name);
		r->value = arena_slice(c->arena, r->value);
		return c->awaits == SMFIC_BODYEOB ? NULL : "an edit before the mail's end";
	}
	return "a reply that no MTA of this kind knows";
}

static const char *
read_verdict(struct milter_client *c, struct slice data, struct milter_client_reply *r)
{
	bool of_mail = c->awaits != SMFIC_CONNECT && c->awaits != SMFIC_HELO;
	switch (r->code) {
	case SMFIR_PROGRESS:
		return c->awaits == SMFIC_BODYEOB && data.n == 0 ? NULL : "progress elsewhere";
	case SMFIR_CONTINUE:
	case SMFIR_ACCEPT:
	case SMFIR_REJECT:
	case SMFIR_TEMPFAIL: break;
	case SMFIR_DISCARD:
		if (!of_mail)
			return "that a client is to be discarded";
		break;
	case SMFIR_SKIP:
		if (c->awaits != SMFIC_BODY || (c->agreed.steps & SMFIP_SKIP) == 0)
			return "to skip what cannot be";
		break;
	case SMFIR_REPLYCODE: c->awaits = 0; return read_reply(c, data, &r->reply);
	default: return read_edit(c, data, r);
	}
	c->awaits = 0;
	return data.n == 0 ? NULL : "a verdict with words";
}

bool
milter_client_next(struct milter_client *c, struct milter_client_reply *reply_out)
{
	for (;;) {
		struct slice in = buf_slice(&c->in), data = in;
		uint32_t length;
		if (c->wrong.n != 0 || !get_u32(&data, &length) || data.n < length)
			return false;
		const char *why;
		*reply_out = (struct milter_client_reply){.code = length > 0 ? data.p[0] : 0};
		struct slice rest = slice_from(slice_first(data, length), 1);
		bool negotiates = c->awaits == SMFIC_OPTNEG;
		if (length == 0 || length > PACKET_MOST)
			why = "a packet of no length";
		else if (c->awaits == 0)
			why = "an answer that nobody awaits";
		else if (negotiates)
			why = reply_out->code == SMFIC_OPTNEG ? read_agreement(c, rest)
							      : "no negotiation";
		else
			why = read_verdict(c, rest, reply_out);
		buf_consume(&c->in, (size_t)length + 4);
		if (negotiates)
			c->awaits = 0;
		if (why != NULL)
			wrong(c, why);
		else if (!negotiates && reply_out->code != SMFIR_PROGRESS)
			return true;
	}
}
