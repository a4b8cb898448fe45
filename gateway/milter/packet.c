/*
 * Where a mail comes from an MTA, this reads the insides of the packets that server.c has put
 * together: strings that end in NUL, numbers in network order, macros in pairs. Each must fill
 * its packet exactly; a string without its NUL or a byte too many is no milter protocol. What
 * only the client's address can spoil is no fault of the packet: the address is unknown then.
 */
#include "milter/packet_priv.h"

#include "base/mem.h"
#include "base/must.h"

uint32_t
milter_get_u32(const char *p)
{
	const unsigned char *b = (const unsigned char *)p;
	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

void
milter_put_u32(uint32_t v, char out[4])
{
	for (int i = 0; i < 4; i++)
		out[i] = (char)(v >> (24 - 8 * i) & 0xff);
}

enum milter_event_type
milter_packet_type(char command)
{
	switch (command) {
	case 'O': return MILTER_EV_NEGOTIATE;
	case 'C': return MILTER_EV_CONNECT;
	case 'H': return MILTER_EV_HELO;
	case 'M': return MILTER_EV_MAIL;
	case 'R': return MILTER_EV_RCPT;
	case 'T': return MILTER_EV_DATA;
	case 'L': return MILTER_EV_HEADER;
	case 'N': return MILTER_EV_HEADER_END;
	case 'B': return MILTER_EV_BODY;
	case 'E': return MILTER_EV_END;
	case 'U': return MILTER_EV_UNKNOWN;
	case 'A': return MILTER_EV_ABORT;
	case 'K': return MILTER_EV_NEXT;
	case 'Q': return MILTER_EV_QUIT;
	default: return MILTER_EV_NONE;
	}
}

/* The string up to the next NUL off the front of *data; false: there is no NUL. */
static bool
get_string(struct slice *data, struct slice *string_out)
{
	return slice_cut(*data, '\0', string_out, data);
}

/* How many strings data is; false: something stands behind the last NUL. */
static bool
count_strings(struct slice data, size_t *n_out)
{
	struct slice string;
	size_t n = 0;
	for (; data.n > 0; n++)
		if (!get_string(&data, &string))
			return false;
	*n_out = n;
	return true;
}

static const char *
read_offer(struct slice data, struct milter_event *ev)
{
	if (data.n < 12) /* what later versions add behind is theirs */
		return "the negotiation is too short";
	ev->offer.version = milter_get_u32(data.p);
	ev->offer.can = milter_get_u32(data.p + 4);
	ev->offer.steps = milter_get_u32(data.p + 8);
	return NULL;
}

/* Of family '4' or '6'; some MTAs write IPv6 addresses as RFC 5321 4.1.3 does in literals. */
static void
read_address(char family, struct slice text, uint16_t port, struct milter_event *ev)
{
	struct ip ip;
	if (family == '6' && slice_starts_nocase(text, SLICE("IPv6:")))
		text = slice_from(text, 5);
	if (!ip_parse(text, &ip) || (family == '4' && ip.family != 4))
		return;
	if (family == '6' && !slice_has(text, ':'))
		return;
	ev->ip = ip;
	ev->port = port;
}

static const char *
read_connect(struct slice data, struct milter_event *ev)
{
	struct slice address;
	if (!get_string(&data, &ev->name))
		return "the client's name has no end";
	if (data.n == 0)
		return "the client has no family";
	char family = data.p[0];
	data = slice_from(data, 1);
	if (family != 'U' && family != 'L' && family != '4' && family != '6')
		return "the client's family is none";
	if (family == 'U' && data.n == 0)
		return NULL;
	if (data.n < 2)
		return "the client has no port";
	uint16_t port = (uint16_t)((unsigned char)data.p[0] << 8 | (unsigned char)data.p[1]);
	data = slice_from(data, 2);
	if (!get_string(&data, &address) || data.n > 0)
		return "the client's address is not one string";
	if (family == '4' || family == '6')
		read_address(family, address, port, ev);
	return NULL;
}

static const char *
read_name(struct slice data, struct milter_event *ev)
{
	if (!get_string(&data, &ev->name) || data.n > 0)
		return "the command's argument is not one string";
	return NULL;
}

static const char *
read_header(struct slice data, struct milter_event *ev)
{
	if (!get_string(&data, &ev->name) || !get_string(&data, &ev->value) || data.n > 0)
		return "the header field is not two strings";
	return ev->name.n == 0 ? "the header field has no name" : NULL;
}

static const char *
read_args(struct slice data, struct milter_event *ev, struct slice **args_out)
{
	size_t n;
	if (!count_strings(data, &n))
		return "an argument has no end";
	if (n == 0 || data.p[0] == '\0')
		return "there is no path";
	if (n > MILTER_ARGS_MOST)
		return "too many arguments";
	struct slice *args = mem_array(n, sizeof(*args));
	for (size_t i = 0; i < n; i++)
		get_string(&data, &args[i]);
	ev->args = *args_out = args;
	ev->n_args = n;
	return NULL;
}

const char *
milter_packet_read(struct slice data, struct milter_event *ev, struct slice **args_out)
{
	*args_out = NULL;
	switch (ev->type) {
	case MILTER_EV_NEGOTIATE: return read_offer(data, ev);
	case MILTER_EV_CONNECT: return read_connect(data, ev);
	case MILTER_EV_HELO:
	case MILTER_EV_UNKNOWN: return read_name(data, ev);
	case MILTER_EV_MAIL:
	case MILTER_EV_RCPT: return read_args(data, ev, args_out);
	case MILTER_EV_HEADER: return read_header(data, ev);
	case MILTER_EV_BODY: ev->value = data; return NULL;
	case MILTER_EV_DATA:
	case MILTER_EV_HEADER_END:
	case MILTER_EV_END: /* with the last of the body it is a BODY first: server.c */
	case MILTER_EV_ABORT:
	case MILTER_EV_NEXT:
	case MILTER_EV_QUIT: return data.n > 0 ? "the command takes no argument" : NULL;
	case MILTER_EV_NONE:
	case MILTER_EV_BAD:
	case MILTER_EVENTS: break;
	}
	must(false); /* no packet has that type */
	return NULL;
}

/* "{auth_authen}" and "auth_authen" are one name. */
static struct slice
without_braces(struct slice name)
{
	if (name.n >= 2 && name.p[0] == '{' && name.p[name.n - 1] == '}')
		return (struct slice){name.p + 1, name.n - 2};
	return name;
}

const char *
milter_macros_check(struct slice pairs, size_t *n_out)
{
	struct slice name, value;
	size_t n = 0;
	if (pairs.n > MILTER_MACRO_BYTES_MOST)
		return "the macros of a step are too large";
	for (; pairs.n > 0; n++) {
		if (!get_string(&pairs, &name) || !get_string(&pairs, &value))
			return "macros are not pairs of strings";
		if (without_braces(name).n == 0)
			return "a macro has no name";
	}
	*n_out = n;
	return n > MILTER_MACROS_MOST ? "a step has too many macros" : NULL;
}

void
milter_macros_read(struct slice pairs, struct milter_macro *macros, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		bool whole = get_string(&pairs, &macros[i].name) &&
			     get_string(&pairs, &macros[i].value);
		must(whole);
		macros[i].name = without_braces(macros[i].name);
	}
}
