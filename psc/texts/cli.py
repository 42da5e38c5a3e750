"""Texts of the command line: errors first, then the sentences and the labels that it prints."""

from psc.texts._text import Text
from psc.texts.cli_labels import LABELS
from psc.texts.cli_terms_labels import TERMS_LABELS

_ERRORS: dict[str, Text] = {
    "cli.usage": Text("{problem}", "命令有误：{problem}", "See: {command}", "请参阅：{command}"),
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
    "cli.key-has-kind": Text(
        "--key {value!r}: a run takes no kind; the dataset has it.",
        "--key {value!r}：运行时不写类型；类型由数据集决定。",
        "Write --key {name}={column}",
        "请写 --key {name}={column}",
    ),
    "cli.until-past": Text(
        "--until is in the past: {until}.",
        "--until 已是过去的时间：{until}。",
        "Name a day or a UTC time to come, as in --until 2101-12-31.",
        "请写将来的日期或 UTC 时间，例如 --until 2101-12-31。",
    ),
    "cli.name-wrong": Text(
        "{option} {name!r} cannot be a name: at most {limit} characters, none of them invisible.",
        "{option} {name!r} 不能用作名称：最多 {limit} 个字符，且不得含不可见字符。",
        "psc doctor PARTNER and the agreement list the names.",
        "可用名称见 psc doctor 合作方 及授权协议。",
    ),
    "cli.operation-unknown": Text(
        "There is no operation {operation}; known: {known}.",
        "没有操作 {operation}；已知：{known}。",
        "For instance --allow match,count,aggregate.",
        "例如 --allow match,count,aggregate。",
    ),
    "cli.choice-unknown": Text(
        "{option} {value!r} is none of {known}.",
        "{option} {value!r} 不在可选项之内：{known}。",
        "Choose one or more of them, with commas.",
        "请从中选择一个或多个，用逗号分隔。",
    ),
    "cli.select-function": Text(
        "--select {value!r} names no output that there is; known: {known}.",
        "--select {value!r} 不是已有的输出；已知：{known}。",
        "Write each output with a --select of its own: --select count --select sum:COLUMN --select histogram:COLUMN:0,10,50",
        "每个输出单独写一个 --select：--select count --select sum:列 --select histogram:列:0,10,50",
    ),
    "cli.select-commas": Text(
        "--select {value!r} names several outputs, with commas between them.",
        "--select {value!r} 以逗号写了多个输出。",
        "Write {form}",
        "请写成 {form}",
    ),
    "cli.select-average": Text(
        "--select {value!r}: an average is called mean here.",
        "--select {value!r}：平均值在此称为 mean。",
        "Write --select {form}",
        "请写成 --select {form}",
    ),
    "cli.select-column": Text(
        "--select {value!r} names no column of the partner.",
        "--select {value!r} 未指定对方的列。",
        "Write it as {form}",
        "请写成 {form}",
    ),
    "cli.select-per": Text(
        "--select {value!r} ends with {part!r}, which is neither row nor customer.",
        "--select {value!r} 以 {part!r} 结尾，应为 row 或 customer。",
        "Write it as {form}",
        "请写成 {form}",
    ),
    "cli.select-part": Text(
        "--select {value!r} has a part too many: {part!r}.",
        "--select {value!r} 多出一部分：{part!r}。",
        "Write it as {form}",
        "请写成 {form}",
    ),
    "cli.select-edges": Text(
        "--select {value!r} has no edges: two or more numbers with commas, each greater than the one before.",
        "--select {value!r} 缺少分段边界：须为两个或更多以逗号分隔、逐个增大的数。",
        "For instance: --select histogram:{column}:0,10,50,100",
        "例如：--select histogram:{column}:0,10,50,100",
    ),
    "cli.select-weight": Text(
        "--select {value!r} does not name an own column and a column of the partner.",
        "--select {value!r} 未写明本方的列和对方的列。",
        "Write it as {form}; for instance --select 'weighted_sum:rate*fee:2', in quotes, for a shell reads the *.",
        "请写成 {form}；例如 --select 'weighted_sum:rate*fee:2'，须加引号，因为 shell 会解释 *。",
    ),
    "cli.select-scale": Text(
        "--select {value!r}: {part!r} is no number of decimals from 0 to 9.",
        "--select {value!r}：{part!r} 不是 0 到 9 的小数位数。",
        "For instance --select 'weighted_sum:rate*fee:2' for weights with two decimals.",
        "例如 --select 'weighted_sum:rate*fee:2' 表示权重有两位小数。",
    ),
    "cli.group-side": Text(
        "--group-by {value!r}: what stands before the colon is neither own nor theirs.",
        "--group-by {value!r}：冒号前应为 own 或 theirs。",
        "Write --group-by {name}, own:{name} for a column of the own table, or theirs:{name} for a group of the partner.",
        "请写 --group-by {name}；own:{name} 表示本方表格的列，theirs:{name} 表示对方的分组。",
    ),
    "cli.output-twice": Text(
        "--output and --rejects both name {file}.",
        "--output 与 --rejects 都指定了 {file}。",
        "Name two files.",
        "请指定两个文件。",
    ),
    "cli.output-at-partner": Text(
        "--output-to responder gives the result to {partner} alone: there is nothing to write here.",
        "--output-to responder 仅将结果交给 {partner}：本方没有可写出的内容。",
        "Leave --output out, or let the result go to receiver or both.",
        "请去掉 --output，或将结果归属改为 receiver 或 both。",
    ),
    "cli.export-what": Text(
        "Nothing to export was named.",
        "未指定要导出的内容。",
        "Add --receipt FILE, --output FILE, or both.",
        "请加 --receipt 文件、--output 文件，或两者。",
    ),
    "cli.result-missing": Text(
        "No result was delivered to this node by run {run}.",
        "运行 {run} 没有向本节点交付结果。",
        "Only a run with output to both delivers one to the side that answers; see psc runs show.",
        "只有结果归双方的运行才会向应答方交付；请查看 psc runs show。",
    ),
    "cli.receipt-file-missing": Text(
        "There is no receipt file {file}.",
        "找不到回执文件 {file}。",
        "psc runs export RUN --receipt FILE writes one.",
        "可用 psc runs export 运行 --receipt 文件 导出。",
    ),
    "cli.receipt-other-run": Text(
        "The receipt stored for run {run} is that of run {other}.",
        "运行 {run} 所存的回执属于运行 {other}。",
        "The store was changed by something else than psc: restore the home from a backup.",
        "存储被 psc 以外的程序改动：请从备份恢复主目录。",
    ),
    "cli.option-twice": Text("{option} names {name} twice.", "{option} 重复指定了 {name}。", "Name each once.", "每项只写一次。"),
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
        "The demo's server ended before it listened (exit code {exit}).",
        "演示服务器在开始监听之前就退出了（退出码 {exit}）。",
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

_DOCTOR: dict[str, Text] = {
    "cli.doctor-certificate-ends": Text(
        "It is valid until {until} only.",
        "有效期仅至 {until}。",
        "The partner's psc serve renews it by itself when it runs; a company certificate must be replaced by hand.",
        "对方的 psc serve 运行时会自动更新；公司证书须手动更换。",
    ),
    "cli.doctor-clock": Text(
        "The two clocks are {seconds} s apart.",
        "双方时钟相差 {seconds} 秒。",
        "Set both by NTP; beyond 5 minutes certificates are refused.",
        "请双方用 NTP 校时；相差超过 5 分钟证书会被拒绝。",
    ),
    "cli.doctor-series": Text(
        "The partner speaks {theirs}, this node {ours} (partner's psc {software}).",
        "对方使用 {theirs}，本节点使用 {ours}（对方 psc {software}）。",
        "Bring both sides to the same release of psc.",
        "请将双方升级到同一版本的 psc。",
    ),
    "cli.doctor-protocols": Text(
        "The partner's psc {software} does not run these protocols in our version: {protocols}.",
        "对方的 psc {software} 不支持本方版本的密码协议：{protocols}。",
        "Bring both sides to the same release of psc.",
        "请将双方升级到同一版本的 psc。",
    ),
    "cli.doctor-rules": Text(
        "The partner normalises keys by {theirs}, this node by {ours} (partner's psc {software}).",
        "对方按 {theirs} 规范化键，本节点按 {ours}（对方 psc {software}）。",
        "Bring both sides to the same release of psc; else equal customers would not match.",
        "请将双方升级到同一版本的 psc，否则相同客户无法匹配。",
    ),
    "cli.doctor-number-metadata": Text(
        "The metadata of phone numbers in {region} differ (partner's psc {software}).",
        "双方 {region} 的电话号码元数据不同（对方 psc {software}）。",
        "Bring both sides to the same version of the package phonenumbers.",
        "请将双方的 phonenumbers 软件包升级到同一版本。",
    ),
    "cli.doctor-catalogue-empty": Text(
        "{name} grants this node nothing today.",
        "{name} 今天没有向本节点授予任何权限。",
        "Ask for a signed agreement; on its side: psc agreement propose --with with this node's name, and --sign.",
        "请索取已签署的授权协议；对方执行：psc agreement propose --with 本节点名称，并加 --sign。",
    ),
}

_SENTENCES: dict[str, Text] = {
    "cli.init-next": Text(
        "Next: psc card --output CARD_FILE, and send the file to the partner. Telephone, read this fingerprint out and hear the "
        'partner\'s; then pin its card: psc trust CARD_FILE --fingerprint "…".',
        "下一步：psc card --output 名片文件，把文件发给合作方。打电话读出本方指纹并听取对方指纹，然后固定信任对方的名片："
        "psc trust 名片文件 --fingerprint “…”。",
    ),
    "cli.card-rotated": Text(
        "The identity was replaced. Send this card to every partner; until they trust it they refuse this node.",
        "身份已更换。请把此名片发给每个合作方；在其信任新名片之前会拒绝本节点。",
    ),
    "cli.trust-compare": Text(
        "If you have not yet compared this fingerprint with {name} by telephone, do it now, before anything runs; next time: "
        'psc trust CARD_FILE --fingerprint "…" pins only a card that has the fingerprint you were told.',
        "若尚未通过电话与 {name} 核对此指纹，请在运行任何操作之前立即核对；下次可用：psc trust 名片文件 --fingerprint “…”，"
        "只固定指纹与对方所读一致的名片。",
    ),
    "cli.card-to-file": Text(
        "psc card --output CARD_FILE writes it to a file, to send to partners.",
        "psc card --output 名片文件 可写入文件，以便发给合作方。",
    ),
    "cli.max-input-rounded": Text(
        "--max-input {asked} was rounded up to {agreed}: sets are counted by their padded size.",
        "--max-input {asked} 已向上取整为 {agreed}：集合按填充后的规模计算。",
    ),
    "cli.trust-new": Text("pinned for the first time", "首次固定信任"),
    "cli.trust-updated": Text("the same identity with a newer card", "身份不变，名片已更新"),
    "cli.trust-rotated": Text("a new identity, vouched for by the old one", "新身份，由旧身份担保"),
    "cli.trust-unchanged": Text("nothing: this card was pinned already", "无变化：该名片此前已固定"),
    "cli.datasets-none": Text(
        "No dataset is registered yet. See what a file holds: psc dataset check FILE --key phone=mobile:phone.",
        "尚未登记数据集。先检查文件：psc dataset check 文件 --key phone=mobile:phone。",
    ),
    "cli.dataset-removed": Text(
        "{name} is no longer registered; its file was not touched.", "{name} 已取消登记；其文件未被触及。"
    ),
    "cli.dataset-removed-agreements": Text(
        "These agreements name it and grant nothing on it now: {ids}.", "以下授权协议涉及该数据集，现已不授予任何权限：{ids}。"
    ),
    "cli.rows-will-be-cut": Text(
        "Some keys have up to {most} rows; of each key only the first {bound} can be released, and the partner sees that there "
        "were more. Raise --max-rows-per-key if it should get all.",
        "部分键多达 {most} 行；每个键只提供最先 {bound} 行，对方会看到还有更多行。若应全部提供，请提高 --max-rows-per-key。",
    ),
    "cli.agreements-none": Text(
        "No agreement is stored. Owners propose: psc agreement propose. Partners import: psc agreement import FILE.",
        "尚无授权协议。数据方起草：psc agreement propose。合作方导入：psc agreement import 文件。",
    ),
    "cli.agreement-draft-next": Text(
        "It allows nothing until it is signed: psc agreement sign {id} --output FILE, then send the file to the partner.",
        "签署前不授予任何权限：psc agreement sign {id} --output 文件，然后把文件发给合作方。",
    ),
    "cli.agreement-keys-alone": Text(
        "On {dataset} a run may use each of these keys alone, too, or any of them together: {keys}. An answer by one of them "
        "says more than one by all. To grant only some, name them: psc agreement propose --key.",
        "对 {dataset}，运行可以单独使用其中任一键，也可任意组合：{keys}。单独按一个键应答，比按全部键透露得更多。"
        "若只授权其中一部分，请用 psc agreement propose --key 指明。",
    ),
    "cli.agreement-send-revocation": Text(
        "Nothing more is answered under it here. Tell the partner: psc agreement show {id} --output FILE.",
        "本节点不再依据该授权协议应答。请告知对方：psc agreement show {id} --output 文件。",
    ),
    "cli.runs-none": Text("No runs yet.", "尚无运行记录。"),
    "cli.cancel-requested": Text("Run {run} was asked to stop.", "已请求停止运行 {run}。"),
    "cli.partners-none": Text(
        "No partner is pinned yet. Ask for a partner's card: psc trust CARD_FILE.",
        "尚未固定任何合作方。请向合作方索取名片：psc trust 名片文件。",
    ),
}

TEXTS: dict[str, Text] = {
    **_ERRORS,
    **_DOCTOR,
    **_SENTENCES,
    **{f"cli.{name}": Text(en, zh) for name, (en, zh) in (LABELS | TERMS_LABELS).items()},
}
