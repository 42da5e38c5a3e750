"""Texts of the command line: errors first, then the sentences and the labels that it prints."""

from psc.texts._text import Text

_ERRORS: dict[str, Text] = {
    "cli.usage": Text(
        "{problem}.", "命令行有误：{problem}。", "See: {command}", "请参阅：{command}"
    ),
    "cli.bug": Text(
        "psc failed in a way that it should not have ({kind} at {where}).",
        "psc 出现了不应发生的故障（{kind}，位于 {where}）。",
        "Please report this line with what you did and the output of psc version. PSC_DEBUG=1 shows the traceback; it may hold "
        "data of your table, so read it before you send it.",
        "请将本行、您的操作及 psc version 的输出一并报告。PSC_DEBUG=1 会显示完整回溯；其中可能含有您表中的数据，发送前请先检查。",
    ),
    "cli.interrupted": Text("Stopped.", "已中止。"),
    "cli.output-exists": Text(
        "{file} exists already; nothing was run.",
        "{file} 已存在；未执行任何操作。",
        "Name another file, or add --force to replace it.",
        "请换一个文件名，或加 --force 覆盖。",
    ),
    "cli.output-is-folder": Text(
        "{file} is a folder; nothing was run.", "{file} 是目录；未执行任何操作。", "Name a file in it.", "请指定其中的文件名。"
    ),
    "cli.output-folder-missing": Text(
        "The folder {folder} for {file} does not exist; nothing was run.",
        "{file} 所在目录 {folder} 不存在；未执行任何操作。",
        "Make the folder, or name another.",
        "请先建立该目录，或换一个目录。",
    ),
    "cli.output-folder-forbidden": Text(
        "Nothing can be written into the folder {folder} of {file}; nothing was run.",
        "{file} 所在目录 {folder} 不可写；未执行任何操作。",
        "Choose a folder in which this user may write.",
        "请选择当前用户可写的目录。",
    ),
    "cli.output-suffix": Text(
        "{file}: a result is written as .csv or .parquet.",
        "{file}：结果只能写成 .csv 或 .parquet。",
        "Give the file one of these endings.",
        "请使用其中一种后缀。",
    ),
    "cli.output-needed": Text(
        "--unmask changes only what --output writes, and there is no --output.",
        "--unmask 只影响 --output 写出的内容，而未指定 --output。",
        "Add --output FILE, or leave --unmask out.",
        "请加上 --output 文件，或去掉 --unmask。",
    ),
    "cli.output-is-input": Text(
        "{file} is the input itself; nothing was run.",
        "{file} 就是输入文件本身；未执行任何操作。",
        "Name another output file.",
        "请另选输出文件。",
    ),
    "cli.target-wrong": Text(
        "{target!r} is not PARTNER/DATASET.",
        "{target!r} 不是 合作方/数据集 的形式。",
        "Write it as courier/parcels; psc partners and psc doctor PARTNER list what there is.",
        "请写成 courier/parcels；用 psc partners 和 psc doctor 合作方 查看可用项。",
    ),
    "cli.option-form": Text(
        "{option} {value!r} has not the form {form}.",
        "{option} {value!r} 不符合格式 {form}。",
        "For instance: {option} {example}",
        "例如：{option} {example}",
    ),
    "cli.option-twice": Text(
        "{option} names {name} twice.", "{option} 重复指定了 {name}。", "Name each once.", "每项只写一次。"
    ),
    "cli.rejects-needs-skip": Text(
        "--rejects belongs to --on-bad skip: with --on-bad error no row is left out.",
        "--rejects 只能与 --on-bad skip 一起使用：--on-bad error 时不会略过任何行。",
        "Add --on-bad skip, or leave --rejects out.",
        "请加上 --on-bad skip，或去掉 --rejects。",
    ),
    "cli.run-unknown": Text(
        "There is no run {run} in this home.", "本节点没有运行 {run}。", "See: psc runs list", "请查看：psc runs list"
    ),
    "cli.receipt-missing": Text(
        "Run {run} has no receipt: it ended as {status}.",
        "运行 {run} 没有回执：其结束状态为 {status}。",
        "Only a finished run leaves a receipt signed by both.",
        "只有完成的运行才会留下双方签名的回执。",
    ),
    "cli.listen-wrong": Text(
        "--listen {value!r} is not HOST:PORT.",
        "--listen {value!r} 不是 主机:端口。",
        "For instance --listen 0.0.0.0:7443; port 0 takes any free port.",
        "例如 --listen 0.0.0.0:7443；端口 0 表示任一空闲端口。",
    ),
    "cli.listen-or-via": Text(
        "--listen and --via exclude each other: a node listens, or it dials out.",
        "--listen 与 --via 不能同时使用：节点要么监听，要么主动拨出。",
        "Leave one of them out.",
        "请去掉其中一个。",
    ),
    "cli.demo-wrong-answer": Text(
        "The demo's {operation} differs from a plain join: {got} instead of {expected}.",
        "演示中的 {operation} 与明文连接结果不一致：得到 {got}，应为 {expected}。",
        "This is a bug in psc; please report it with the output of psc version.",
        "这是 psc 的缺陷，请附上 psc version 的输出报告。",
    ),
    "cli.demo-server-died": Text(
        "The demo's server ended before it listened (exit code {code}).",
        "演示服务器在开始监听之前就退出了（退出码 {code}）。",
        "Its log is {log}.",
        "日志见 {log}。",
    ),
    "cli.demo-folder": Text(
        "{folder} is not an empty folder.", "{folder} 不是空目录。", "Name a new one with --dir.", "请用 --dir 指定新目录。"
    ),
    "cli.demo-rows": Text(
        "The demo needs between {low} and {high} rows, not {rows}.",
        "演示行数须在 {low} 到 {high} 之间，不能是 {rows}。",
        "Set --rows.",
        "请设置 --rows。",
    ),
}

_SENTENCES: dict[str, Text] = {
    "cli.init-next": Text(
        "Next: psc card --output CARD_FILE, send the file to the partner, and pin the partner's: psc trust CARD_FILE.",
        "下一步：psc card --output 名片文件，把文件发给合作方，并固定信任对方的名片：psc trust 名片文件。",
    ),
    "cli.card-rotated": Text(
        "The identity was replaced. Send this card to every partner; until they trust it they refuse this node.",
        "身份已更换。请把此名片发给每个合作方；在其信任新名片之前会拒绝本节点。",
    ),
    "cli.trust-compare": Text(
        "Compare the fingerprint with {name} by telephone before the first run.",
        "首次运行前，请通过电话与 {name} 核对指纹。",
    ),
    "cli.trust-new": Text("pinned for the first time", "首次固定信任"),
    "cli.trust-updated": Text("the same identity with a newer card", "身份不变，名片已更新"),
    "cli.trust-rotated": Text("a new identity, vouched for by the old one", "新身份，由旧身份担保"),
    "cli.trust-unchanged": Text("nothing: this card was pinned already", "无变化：该名片此前已固定"),
    "cli.partners-none": Text(
        "No partner is pinned yet. Ask for a partner's card: psc trust CARD_FILE.",
        "尚未固定任何合作方。请向合作方索取名片：psc trust 名片文件。",
    ),
}

_LABELS: dict[str, tuple[str, str]] = {
    "error": ("Error:", "错误："),
    "node": ("node", "节点"),
    "home": ("home", "主目录"),
    "fingerprint": ("fingerprint", "指纹"),
    "listen": ("listens at", "监听地址"),
    "address": ("address", "地址"),
    "address-none": ("– (no inbound port)", "–（无入站端口）"),
    "file": ("file", "文件"),
    "partner": ("partner", "合作方"),
    "change": ("change", "变更"),
    "trusted-at": ("trusted since", "信任起始"),
    "series": ("wire contract", "通信协议"),
    "protocols": ("protocols", "协议"),
    "rules": ("key rules", "键规则"),
    "number-metadata": ("number metadata", "号码元数据"),
}

TEXTS: dict[str, Text] = {
    **_ERRORS,
    **_SENTENCES,
    **{f"cli.{name}": Text(en, zh) for name, (en, zh) in _LABELS.items()},
}
