/*
 * `domain ... bounces tagged key "FILE"`: the secrets that a domain's senders are tagged with
 * (filters/batv.h). A key is a line of its file, its digit and its secret; the first one tags,
 * and those below are still taken, so that keys can be changed.
 */
#include "conf/file.h"
#include "conf/parse_priv.h"

enum { KEY_FILE_MOST = 8192, SECRET_LEAST = 16, SECRET_MOST = 256 };

static bool
has_key(const struct conf_domain *d, uint8_t number)
{
	for (size_t i = 0; i < d->n_tag_keys; i++)
		if (d->tag_keys[i].number == number)
			return true;
	return false;
}

/* "0 SECRET" */
static bool
add_key(struct parser *p, struct conf_domain *d, struct slice line)
{
	struct slice number, secret;
	if (!slice_cut(line, ' ', &number, &secret) || number.n != 1 ||
		!ascii_digit(number.p[0]))
		return false;
	secret = slice_trim(secret);
	struct conf_tag_key key = {.number = (uint8_t)(number.p[0] - '0'), .secret = secret};
	if (secret.n < SECRET_LEAST || secret.n > SECRET_MOST || has_key(d, key.number))
		return false;
	d->tag_keys = parse_room(p, d->tag_keys, d->n_tag_keys, sizeof(key));
	d->tag_keys[d->n_tag_keys++] = key;
	return true;
}

static bool
read_keys(struct parser *p, struct conf_at at, struct conf_domain *d, struct slice path)
{
	struct slice text, line;
	struct err err;
	unsigned number = 0;
	bool more = true;
	if (file_read(path.p, KEY_FILE_MOST, p->arena, &text, &err) < 0)
		return parse_fail(p, at, "%s", err.text);
	while (more) {
		more = slice_cut(text, '\n', &line, &text);
		line = slice_trim(line);
		number++;
		if (line.n != 0 && line.p[0] != '#' && !add_key(p, d, line))
			return parse_fail(p, at,
				"%.*s:%u: no key: a line is a digit of its own and a secret of "
				"%d to "
				"%d characters, as in \"0 SECRET\"",
				SLICE_ARG(path), number, SECRET_LEAST, SECRET_MOST);
	}
	return d->n_tag_keys != 0 ||
	       parse_fail(
		       p, at, "%.*s holds no key: write a line \"0 SECRET\"", SLICE_ARG(path));
}

/* `bounces tagged key "FILE"` */
bool
parse_domain_bounces(struct parser *p, struct conf_at at, void *target)
{
	struct slice text;
	(void)at;
	if (!parse_word(p, "key"))
		return false;
	struct conf_at text_at = p->tok.at;
	if (!parse_string(p, "the file of the keys", &text))
		return false;
	struct slice path = file_absolute(text, p->source->folder, p->arena);
	read_keys(
		p, text_at, target, path); /* what is wrong with it is said; the line goes on */
	return true;
}
