"""The made-up people, chats and words that the live events are drawn from.

Nobody here exists: the names are invented, the phones start with 7000000, and every link
leads to example.invalid.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Person:
    """Someone who writes; `language` is a key of `TEXTS`."""

    id: int
    name: str
    username: str | None
    phone: str | None
    language: str


@dataclass(frozen=True, slots=True)
class Room:
    """A chat of many: a group, where members write, or a channel, which has one voice."""

    id: int
    kind: Literal["group", "channel"]
    name: str
    members: tuple[Person, ...]


@dataclass(frozen=True, slots=True)
class Tag:
    """A label that employees put on chats. `color` is passed on as it is, odd ones too."""

    id: int
    name: str
    color: str
    category: str


PEOPLE = (
    Person(1480000001, "Anna Petrova", "anna_petrova_demo", "7000000001", "ru"),
    Person(1480000002, "Oliver Hartwell", "oliver_h_demo", "7000000002", "en"),
    Person(1480000003, "Lucía Fernández", "lucia_demo", "7000000003", "es"),
    Person(1480000004, "ليلى المنصوري", "layla_demo", "7000000004", "ar"),
    Person(1480000005, "נועה ברק", None, "7000000005", "he"),
    Person(1480000006, "陈晓雨", "xiaoyu_demo", "7000000006", "zh"),
    Person(1480000007, "山田 さくら", "sakura_demo", "7000000007", "ja"),
    Person(1480000008, "आरव शर्मा", None, "7000000008", "hi"),
    Person(1480000009, "Мария 🌿", "maria_green_demo", None, "emoji"),
    Person(1480000010, "Zoë Nguye\u0302\u0303n", "zoe_demo", "7000000010", "combining"),
    Person(1480000011, "Дмитрий Ковалёв", None, "7000000011", "ru"),
    Person(1480000012, "Grace O'Malley", "grace_demo", "7000000012", "en"),
)

EMPLOYEES = (
    Person(685, "Support · Demo Shop", "demo_shop", "7000000685", "en"),
    Person(686, "Ирина, поддержка", "demo_shop", "7000000685", "ru"),
)

ROOMS = (
    Room(54911000655, "group", "Delivery team 🚚", PEOPLE[:4]),
    Room(54911000656, "group", "Дом 12, подъезд 3", (PEOPLE[0], PEOPLE[8], PEOPLE[10])),
    Room(54911000657, "group", "料理クラブ", (PEOPLE[5], PEOPLE[6], PEOPLE[9])),
    Room(54911000701, "channel", "Demo Shop News", (EMPLOYEES[0],)),
)

TAGS = (
    Tag(29, "New lead", "#1e88e5", "Funnel"),
    Tag(30, "Оплачено", "#43a047", "Funnel"),
    Tag(31, "VIP ⭐", "#fdd835", "Customer"),
    Tag(32, "Complaint", "#e53935", "Customer"),
    Tag(33, "دعم عاجل", "#8e24aa", "Support"),
    Tag(34, "test 1", "#123df55", "test 1"),
)

TEXTS: Mapping[str, tuple[str, ...]] = {
    "en": (
        "Hi! Is the blue backpack still in stock?",
        "Great, I'll take two. Do you ship on Saturdays?",
        "Here is the page I meant: https://example.invalid/shop?id=42&ref=chat",
        "Thanks, it arrived this morning. Works perfectly!",
        "Two things:\n1. the invoice says 40.00, not 36.00\n2. please add our VAT number",
        'He said "call me back" and hung up...',
    ),
    "ru": (
        "Здравствуйте! Подскажите, заказ 1045 уже отправлен?",
        "Спасибо большое, всё получила, ёлка чудесная.",
        "А можно перенести доставку на четверг после 18:00?",
        "Пришлите, пожалуйста, счёт на оплату.",
        "Хорошо, договорились.",
    ),
    "es": (
        "¡Buenos días! ¿Tienen la talla mediana?",
        "Perfecto, mañana paso por la tienda a las diez y media.",
        "¿Cuánto cuesta el envío a Córdoba?",
        "Muchas gracias, qué rapidez.",
    ),
    "ar": (
        "مرحبا، هل المنتج متوفر باللون الأزرق؟",
        "شكرا جزيلا، وصل الطلب رقم 1045 اليوم.",
        "متى يفتح المتجر يوم الجمعة؟",
    ),
    "he": (
        "שלום, מתי תגיע ההזמנה שלי?",
        "תודה רבה! הכול הגיע בזמן (הזמנה 1045).",
        "אפשר לשלם גם ב-PayPal?",
    ),
    "zh": (
        "你好，请问今天可以发货吗？",
        "收到了，谢谢！包装很好。",
        "地址改成：示例路8号，3楼。",
    ),
    "ja": (
        "こんにちは。注文の変更はまだ間に合いますか？",
        "ありがとうございます！とても助かりました。",
        "明日の１５時ごろに伺います。",
    ),
    "hi": (
        "नमस्ते, क्या यह किताब उपलब्ध है?",
        "धन्यवाद! भुगतान कर दिया है।",
        "कृपया पता फिर से भेज दीजिए।",
    ),
    "emoji": (
        "👍🏽",
        "Ура!! 🎉🎉 наконец-то",
        "👨‍👩‍👧‍👦 семейный тариф, пожалуйста ❤️",
        "🇪🇸➡️🇯🇵 ?",
    ),
    "combining": (
        "Cafe\u0301 or the\u0301 for the meeting?",
        "Tie\u0302\u0301ng Vie\u0323\u0302t e\u0302m a\u0301i",
        "Z\u0353\u032f\u0347o\u0359e\u0308 testing her new keyboard",
    ),
}

CAPTIONS = ("Our new colours 🎨", "Вот фото чека", "La entrada está aquí", "看这个", "")

PLACES = (
    ("Demo Shop, Example Street 8", 52.5, 13.4),
    ("Пункт выдачи № 3", 55.75, 37.62),
    ("Mercado de muestra", 40.42, -3.7),
)
