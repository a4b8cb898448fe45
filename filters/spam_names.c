/*
 * Names that the field knows: providers where anybody gets an address, shorteners, places where
 * anybody puts up a page, top-level domains that are abused most, companies that are imitated
 * most. Short on purpose: what holds for years. Sorted, for a search by halves; a test says so.
 */
#include <string.h>

#include "filters/psl.h"
#include "filters/spam_evidence_priv.h"

static const char *const free_mail[] = {"126.com", "139.com", "163.com", "accountant.com",
	"aim.com", "aliyun.com", "aol.com", "att.net", "bellsouth.net", "bigpond.com", "bk.ru",
	"bluewin.ch", "bol.com.br", "btinternet.com", "centrum.cz", "comcast.net",
	"consultant.com", "cox.net", "daum.net", "earthlink.net", "email.com", "email.cz",
	"engineer.com", "excite.com", "fastmail.com", "fastmail.fm", "foxmail.com", "free.fr",
	"freenet.de", "gmail.com", "gmx.at", "gmx.ch", "gmx.com", "gmx.de", "gmx.fr", "gmx.net",
	"gmx.us", "googlemail.com", "hanmail.net", "hotmail.co.uk", "hotmail.com",
	"hotmail.com.br", "hotmail.de", "hotmail.es", "hotmail.fr", "hotmail.it", "hotmail.nl",
	"hushmail.com", "icloud.com", "ig.com.br", "inbox.lv", "inbox.ru", "interia.pl",
	"internet.ru", "juno.com", "laposte.net", "lawyer.com", "libero.it", "list.ru",
	"live.ca", "live.co.uk", "live.com", "live.de", "live.fr", "live.nl", "lycos.com",
	"mac.com", "mail.com", "mail.ee", "mail.ru", "me.com", "msn.com", "myself.com",
	"naver.com", "netscape.net", "netzero.net", "o2.pl", "onet.pl", "orange.fr",
	"outlook.com", "outlook.com.br", "outlook.de", "outlook.es", "outlook.fr", "outlook.it",
	"outlook.jp", "post.com", "proton.me", "protonmail.ch", "protonmail.com", "qq.com",
	"rambler.ru", "rediffmail.com", "rocketmail.com", "sapo.pt", "sbcglobal.net",
	"seznam.cz", "sina.cn", "sina.com", "sky.com", "sohu.com", "t-online.de",
	"terra.com.br", "tiscali.it", "tutanota.com", "ukr.net", "uol.com.br", "usa.com",
	"verizon.net", "virgilio.it", "wanadoo.fr", "web.de", "windstream.net", "workmail.com",
	"wp.pl", "ya.ru", "yahoo.ca", "yahoo.co.id", "yahoo.co.in", "yahoo.co.jp",
	"yahoo.co.uk", "yahoo.com", "yahoo.com.ar", "yahoo.com.au", "yahoo.com.br",
	"yahoo.com.cn", "yahoo.com.hk", "yahoo.com.mx", "yahoo.com.ph", "yahoo.com.sg",
	"yahoo.com.tw", "yahoo.com.vn", "yahoo.de", "yahoo.es", "yahoo.fr", "yahoo.in",
	"yahoo.it", "yandex.com", "yandex.ru", "yeah.net", "ymail.com", "zoho.com",
	"zohomail.com"};

static const char *const shorteners[] = {"adf.ly", "bit.do", "bit.ly", "bitly.com", "bl.ink",
	"buff.ly", "clck.ru", "cutt.ly", "cutt.us", "cuttly.com", "did.li", "encr.pw", "gg.gg",
	"goo.gl", "goo.su", "is.gd", "j.mp", "kutt.it", "l.ead.me", "me2.do", "me2.kr", "n9.cl",
	"ow.ly", "qr.ae", "qrcd.org", "qrco.de", "rb.gy", "rebrand.ly", "reurl.cc", "s.id",
	"short.gy", "shorturl.at", "shrtco.de", "soo.gd", "surl.li", "t.cn", "t.ly", "t2m.io",
	"tiny.cc", "tiny.one", "tinyurl.com", "tr.ee", "tr.im", "u.to", "urlz.fr", "v.gd",
	"v.ht", "vk.cc", "x.gd", "xurl.es"};

/* Below these anybody puts up a page, with a host of its own. */
static const char *const hosting[] = {"000webhostapp.com", "azureedge.net", "azurefd.net",
	"azurewebsites.net", "bitbucket.io", "blogspot.com", "boxmode.io", "bubbleapps.io",
	"canva.site", "carrd.co", "cloudapp.net", "duckdns.org", "dynv6.net", "firebaseapp.com",
	"fleek.co", "forms.gle", "forms.yandex.com", "forms.yandex.ru", "framer.app",
	"framer.website", "gitbook.io", "github.io", "gitlab.io", "glitch.me",
	"godaddysites.com", "herokuapp.com", "hopto.org", "hostingerapp.com", "jimdosite.com",
	"jotform.com", "ladesk.com", "lovestoblog.com", "myftp.org", "mystrikingly.com",
	"netlify.app", "ngrok-free.app", "ngrok.io", "no-ip.org", "notion.site",
	"onmicrosoft.com", "onrender.com", "pages.dev", "plesk.page", "r2.dev", "repl.co",
	"replit.app", "sa.com", "sibforms.com", "simdif.com", "sites.google.com", "square.site",
	"strikingly.com", "surge.sh", "tilda.ws", "translate.goog", "trycloudflare.com",
	"typedream.app", "ucoz.net", "unaux.com", "vercel.app", "web.app",
	"web.core.windows.net", "webflow.io", "weebly.com", "weeblysite.com", "wixsite.com",
	"wixstudio.io", "wordpress.com", "workers.dev", "yolasite.com", "za.com", "zapier.app",
	"zyrosite.com"};

/* Rented storage, and gateways to IPFS: below the name, or the name itself. */
static const char *const storages[] = {"amazonaws.com", "backblazeb2.com",
	"blob.core.windows.net", "cf-ipfs.com", "cloudflare-ipfs.com", "digitaloceanspaces.com",
	"dweb.link", "firebasestorage.googleapis.com", "fleek.cool", "ipfs.infura.io",
	"ipfs.io", "linodeobjects.com", "myqcloud.com", "nftstorage.link", "oraclecloud.com",
	"pinata.cloud", "r2.cloudflarestorage.com", "storage.googleapis.com",
	"vultrobjects.com", "w3s.link", "wasabisys.com"};

static const char *const bad_tlds[] = {"autos", "bar", "beauty", "best", "bid", "boats", "bond",
	"buzz", "cam", "cf", "cfd", "christmas", "click", "country", "cricket", "cyou", "date",
	"download", "faith", "fit", "fun", "ga", "gdn", "gq", "hair", "homes", "icu", "kim",
	"lat", "loan", "lol", "makeup", "men", "ml", "mom", "monster", "motorcycles", "online",
	"party", "pics", "pw", "quest", "racing", "rest", "review", "sbs", "science", "shop",
	"site", "skin", "stream", "su", "surf", "tattoo", "tk", "top", "trade", "uno", "vip",
	"wang", "webcam", "website", "win", "xin", "xyz", "yachts", "zip"};

/*
 * Each with what its own domains' first labels begin with beside the name. A name that is an
 * everyday word stands here with a second word.
 */
static const struct brand {
	const char *name, *also; /* also: words between blanks */
} brands[] = {
	{"adac", ""},
	{"adobe sign", "adobe adobesign echosign"},
	{"aldi", "aldi-"},
	{"aliexpress", "alibaba"},
	{"amazon", "amzn amazonaws amazonses awsapps"},
	{"american express", "americanexpress amex aexp"},
	{"apple id", "apple icloud"},
	{"apple pay", "apple"},
	{"apple support", "apple"},
	{"auspost", ""},
	{"australia post", "auspost"},
	{"banco do brasil", "bb"},
	{"bank of america", "bankofamerica bofa"},
	{"bbva", ""},
	{"binance", "binance bnb"},
	{"bnp paribas", "bnpparibas mabanque"},
	{"bpost", ""},
	{"bradesco", ""},
	{"caixa", "caixa"},
	{"caixabank", ""},
	{"capital one", "capitalone"},
	{"cash app", "cashapp square squareup"},
	{"chronopost", ""},
	{"citibank", "citi"},
	{"coinbase", ""},
	{"commbank", "cba"},
	{"commerzbank", ""},
	{"correios", ""},
	{"costco", ""},
	{"credit agricole", "credit-agricole ca-"},
	{"decathlon", ""},
	{"deutsche bank", "db deutsche-bank"},
	{"deutsche post", "deutschepost dhl"},
	{"dhl", "deutschepost dpdhl"},
	{"docusign", ""},
	{"dpd", "dpdgroup dpdlocal"},
	{"dropbox", "dropboxmail"},
	{"ebay", ""},
	{"edeka", ""},
	{"evri", ""},
	{"facebook", "facebookmail meta fb"},
	{"fedex", ""},
	{"fressnapf", ""},
	{"geek squad", "geeksquad bestbuy"},
	{"geico", ""},
	{"harbor freight", "harborfreight"},
	{"hilton", ""},
	{"home depot", "homedepot"},
	{"hsbc", ""},
	{"icloud", "apple"},
	{"ikea", ""},
	{"instagram", "facebookmail meta"},
	{"intuit", "quickbooks"},
	{"ionos", ""},
	{"itau", ""},
	{"kraken", ""},
	{"la poste", "laposte"},
	{"ledger", ""},
	{"lidl", "lidl-"},
	{"linkedin", ""},
	{"livelo", ""},
	{"lufthansa", "miles-and-more"},
	{"mastercard", ""},
	{"mcafee", ""},
	{"mediamarkt", "mediamarktsaturn"},
	{"mercado livre", "mercadolivre mercadolibre mercadopago"},
	{"mercado pago", "mercadolivre mercadolibre mercadopago"},
	{"metamask", "consensys"},
	{"microsoft", "microsoftonline onmicrosoft office office365 outlook windows live xbox "
		      "sharepoint"},
	{"netflix", ""},
	{"norton antivirus", "norton nortonlifelock gendigital"},
	{"norton lifelock", "norton nortonlifelock gendigital"},
	{"nubank", ""},
	{"office 365", "microsoft microsoftonline office office365"},
	{"omaha steaks", "omahasteaks"},
	{"onedrive", "microsoft sharepoint live"},
	{"opensea", ""},
	{"outlook web", "microsoft microsoftonline live hotmail outlook"},
	{"paypal", ""},
	{"postbank", ""},
	{"postfinance", ""},
	{"postnl", ""},
	{"quickbooks", "intuit"},
	{"rabobank", ""},
	{"rakuten", "rakuten-"},
	{"rewe", ""},
	{"rossmann", ""},
	{"royal mail", "royalmail"},
	{"sams club", "samsclub"},
	{"santander", ""},
	{"serasa", "serasaexperian"},
	{"sharepoint", "sharepointonline microsoft"},
	{"smbc", "smbc-"},
	{"sparkasse", "sparkassen sparkasse-"},
	{"spotify", ""},
	{"state farm", "statefarm"},
	{"strato", ""},
	{"swisscom", ""},
	{"t-mobile", ""},
	{"deutsche telekom", "telekom t-online"},
	{"temu", "temuemail"},
	{"trezor", "satoshilabs"},
	{"trust wallet", "trustwallet"},
	{"trustwallet", ""},
	{"uniswap", ""},
	{"ups", "upsemail"},
	{"usps", ""},
	{"venmo", ""},
	{"verizon", "verizonwireless verizonconnect"},
	{"volksbank", "vr vr- volksbank-"},
	{"walgreens", ""},
	{"walmart", ""},
	{"wells fargo", "wellsfargo"},
	{"western union", "westernunion"},
	{"wetransfer", ""},
	{"whatsapp", "facebookmail meta"},
	{"xfinity", "comcast"},
	{"yahoo", "yahooinc aol ymail"},
	{"zelle", "zellepay"},
};
enum { BRANDS = sizeof(brands) / sizeof(brands[0]) };

/* As slice_cmp; most end at the first byte or two. */
static int
compare(struct slice s, const char *text)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] != text[i] || text[i] == '\0')
			return (unsigned char)s.p[i] < (unsigned char)text[i] ? -1 : 1;
	return text[s.n] == '\0' ? 0 : -1;
}

static bool
among(const char *const *sorted, size_t n, struct slice s)
{
	for (size_t low = 0, high = n; low < high;) {
		size_t mid = (low + high) / 2;
		int c = compare(s, sorted[mid]);
		if (c == 0)
			return true;
		*(c < 0 ? &high : &low) = c < 0 ? mid : mid + 1;
	}
	return false;
}
#define AMONG(list, s) among(list, sizeof(list) / sizeof((list)[0]), s)

/* s, or what is left of it behind one of its dots, is there. */
static bool
at_or_below(const char *const *sorted, size_t n, struct slice s)
{
	for (bool more = true; more && s.n > 0;
		more = slice_cut(s, '.', &(struct slice){0}, &s))
		if (among(sorted, n, s))
			return true;
	return false;
}
#define AT_OR_BELOW(list, s) at_or_below(list, sizeof(list) / sizeof((list)[0]), s)

static bool
sorted(const char *const *list, size_t n)
{
	for (size_t i = 1; i < n; i++)
		if (slice_cmp(slice_of(list[i - 1]), slice_of(list[i])) >= 0)
			return false;
	return true;
}
#define SORTED(list) sorted(list, sizeof(list) / sizeof((list)[0]))

bool
spam_names_sorted(void)
{
	return SORTED(free_mail) && SORTED(shorteners) && SORTED(hosting) && SORTED(storages) &&
	       SORTED(bad_tlds);
}

bool
spam_free_mail(struct slice org)
{
	return AMONG(free_mail, org);
}

bool
spam_shortener(struct slice host, struct slice org)
{
	return AMONG(shorteners, org) || AMONG(shorteners, host);
}

bool
spam_hosting(struct slice host)
{
	return AT_OR_BELOW(hosting, host);
}

bool
spam_storage(struct slice host)
{
	return AT_OR_BELOW(storages, host);
}

bool
spam_bad_tld(struct slice host)
{
	size_t dot = slice_find_last(host, '.');
	return dot < host.n && AMONG(bad_tlds, slice_from(host, dot + 1));
}

static bool
starts_with_word(struct slice label, struct slice words)
{
	for (struct slice word; words.n > 0;) {
		slice_cut(words, ' ', &word, &words);
		if (word.n > 0 && slice_starts(label, word) &&
			(label.n == word.n || word.p[word.n - 1] == '-'))
			return true;
	}
	return false;
}

/* The name without its blanks, against the first label of a registrable domain. */
static bool
owns(const struct brand *b, struct slice org)
{
	struct slice label;
	slice_cut(org, '.', &label, &(struct slice){0});
	char joined[32];
	size_t n = 0;
	for (const char *p = b->name; *p != '\0' && n < sizeof(joined); p++)
		if (*p != ' ')
			joined[n++] = *p;
	/* "dhl-news.com" is anybody's; "dhl.de", "dhl.com" and the top-level domain are not. */
	struct slice name = {joined, n};
	return slice_eq(label, name) ||
	       slice_eq(slice_from(org, slice_find_last(org, '.') + 1), name) ||
	       starts_with_word(label, slice_of(b->also));
}

static bool
edge(struct slice s, size_t at)
{
	return at >= s.n || !(ascii_alpha(s.p[at]) || ascii_digit(s.p[at]) ||
				    (unsigned char)s.p[at] >= 0x80);
}

/* Which pairs of bytes a text has, more or less: most brands need not be looked for. */
struct pairs {
	uint64_t bits[16];
};

static unsigned
pair(const char *p)
{
	return ((unsigned char)p[0] * 33U + (unsigned char)p[1]) % 1024;
}

static void
note_pairs(struct slice s, struct pairs *out)
{
	*out = (struct pairs){{0}};
	for (size_t i = 0; i + 1 < s.n; i++)
		out->bits[pair(s.p + i) / 64] |= 1ULL << pair(s.p + i) % 64;
}

static bool
may_have(const struct pairs *have, const char *name)
{
	return (have->bits[pair(name) / 64] >> pair(name) % 64 & 1) != 0 &&
	       (have->bits[pair(name + 1) / 64] >> pair(name + 1) % 64 & 1) != 0;
}

struct slice
spam_brand_named(struct slice text, struct slice org)
{
	struct pairs have;
	note_pairs(text, &have);
	for (size_t i = 0; i < BRANDS; i++) {
		if (!may_have(&have, brands[i].name))
			continue;
		struct slice name = slice_of(brands[i].name);
		size_t at = slice_find_slice(text, name);
		if (at == text.n || !edge(text, at + name.n) || (at > 0 && !edge(text, at - 1)))
			continue;
		return owns(&brands[i], org) ? SLICE_NONE : name;
	}
	return SLICE_NONE;
}

struct slice
spam_brand_in_host(struct slice host, struct slice org)
{
	struct pairs have;
	if (spam_storage(host)) /* its keeper may be such a company */
		return SLICE_NONE;
	note_pairs(host, &have);
	for (size_t i = 0; i < BRANDS; i++) {
		if (!may_have(&have, brands[i].name))
			continue;
		struct slice name = slice_of(brands[i].name);
		if (name.n < 4 || slice_has(name, ' '))
			continue;
		size_t at = slice_find_slice(host, name);
		if (at == host.n)
			continue;
		bool whole = edge(host, at + name.n) && (at == 0 || edge(host, at - 1));
		if ((whole || name.n >= 6) && !owns(&brands[i], org))
			return name;
	}
	return SLICE_NONE;
}
