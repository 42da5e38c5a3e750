"""Texts of the session layer and of protocol scripts."""

from psc.texts._text import Text

TEXTS: dict[str, Text] = {
    "session.document-too-large": Text(
        "The partner's {kind} is larger than {limit_bytes} bytes.",
        "对方的 {kind} 超过 {limit_bytes} 字节。",
        "It was refused unread; ask the partner which version of psc it runs.",
        "已拒绝读取；请询问对方使用的 psc 版本。",
    ),
    "session.document-malformed": Text(
        "A {kind} document is malformed at {where}.",
        "{kind} 文档格式有误，位置：{where}。",
        "If it is a file, get it again from its author unchanged; if it came over the wire, both sides should run the same psc.",
        "若为文件，请向作者重新获取未经修改的文件；若来自网络，双方应使用相同版本的 psc。",
    ),
    "session.message-malformed": Text(
        "The partner sent a malformed message: {what}.",
        "对方发来格式错误的消息：{what}。",
        "The run was ended and nothing was released; give the partner the run id.",
        "运行已终止，未提供任何结果；请将运行编号告知对方。",
    ),
    "session.message-unknown": Text(
        "A script tried to send {kind}, which is not part of the wire contract.",
        "脚本试图发送不属于密码协议的 {kind}。",
        "This is a bug in psc; please report it.",
        "这是 psc 的缺陷，请报告。",
    ),
    "session.unexpected-message": Text(
        "The partner sent {got} where {expected} belongs.",
        "对方在应发送 {expected} 时发送了 {got}。",
        "The run was ended and nothing was released; give the partner the run id.",
        "运行已终止，未提供任何结果；请将运行编号告知对方。",
    ),
    "session.shard-overflow": Text(
        "A part of the set has more keys than the {size} that every part is padded to.",
        "集合的某一分片超过每个分片统一补足的 {size} 个键。",
        "This happens less than once in 2^40 runs by chance; nothing of the set was sent. Run again.",
        "随机出现的概率低于 2^-40；集合内容尚未发送。请重新运行。",
    ),
    "session.kept-part-malformed": Text(
        "A kept part of the run is not one of such a run.",
        "所保留的分片不属于此类运行。",
        "Ask again with --no-resume: everything is computed anew.",
        "请加 --no-resume 重新请求：全部重新计算。",
    ),
    "session.set-larger-than-agreed": Text(
        "The set has {count} keys but {size} were agreed.",
        "集合有 {count} 个键，但约定为 {size} 个。",
        "The data changed after the plan; plan again.",
        "数据在制定计划后发生变化，请重新制定计划。",
    ),
    "session.too-many-cells": Text(
        "The groups of both sides make {cells} cells; the limit is {limit}.",
        "双方分组共形成 {cells} 个单元格，上限为 {limit}。",
        "Group by fewer or coarser columns.",
        "请减少分组列，或使用更粗的分组。",
    ),
    "session.input-does-not-fit": Text(
        "The {what} that were prepared do not fit what was agreed.",
        "所准备的数据（{what}）与约定不符。",
        "This is a bug in psc; please report it.",
        "这是 psc 的缺陷，请报告。",
    ),
    "session.sum-too-large": Text(
        "A sum does not fit 64 bits.",
        "某个总和超出 64 位。",
        "Use smaller weights, or declare narrower ranges of values.",
        "请使用较小的权重，或声明更窄的取值范围。",
    ),
    "session.sums-too-wide": Text(
        "The sums of one group have {bits} bits together; where the partner learns them {limit} is the most of one run.",
        "每组的各项总和共需 {bits} 位；若对方也得知结果，一次运行最多 {limit} 位。",
        "Nothing was moved. Split the question into two runs, or ask with the output to your side alone.",
        "未传输任何数据。请将问题拆分为两次运行，或仅由本方获得结果。",
    ),
    "session.rows-missing": Text(
        "Released columns were agreed but no rows were prepared.",
        "已约定提供列，但未准备任何行。",
        "This is a bug in psc; please report it.",
        "这是 psc 的缺陷，请报告。",
    ),
    "session.malicious-match-one-sided": Text(
        "Security against a partner that deviates holds only for a match without released columns, with output to one party.",
        "针对恶意对方的安全性，仅适用于不提供列、且结果只给一方的匹配。",
        "Leave out --want and --output-to both, or take --model semi-honest.",
        "请去掉 --want 与 --output-to both，或改用 --model semi-honest。",
    ),
    "session.deadlock": Text(
        "Both scripts wait for each other.",
        "双方脚本互相等待。",
        "This is a bug in psc; please report it.",
        "这是 psc 的缺陷，请报告。",
    ),
    "session.messages-left-over": Text(
        "{count} messages were left unread at the end.",
        "结束时有 {count} 条消息未读。",
        "This is a bug in psc; please report it.",
        "这是 psc 的缺陷，请报告。",
    ),
    "session.receipts-differ": Text(
        "The partner's receipt differs from ours: the two sides did not see the same run.",
        "对方的回执与我方不同：双方所见并非同一次运行。",
        "The result was discarded; give the partner the run id, and run psc doctor on both sides.",
        "结果已丢弃；请将运行编号告知对方，并在双方运行 psc doctor。",
    ),
}
