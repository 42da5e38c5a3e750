"""Texts of node: home, settings, store, identity, certificates, cards, datasets, runs."""

from psc.texts._text import Text

_HOME: dict[str, Text] = {
    "node.home-missing": Text(
        "{path} is not the home folder of a node.",
        "{path} 不是节点的主目录。",
        "Name the folder with --home or PSC_HOME, or make a node: psc init --home {path} --name NAME.",
        "请用 --home 或 PSC_HOME 指定目录，或新建节点：psc init --home {path} --name 名称。",
    ),
    "node.home-exists": Text(
        "{path} is the home of a node already; it was left as it is.",
        "{path} 已经是一个节点的主目录，未作改动。",
        "Choose another folder with --home.",
        "请用 --home 另选目录。",
    ),
    "node.folder-occupied": Text(
        "{path} is not an empty folder; a node needs one of its own.",
        "{path} 不是空目录；节点需要独占一个目录。",
        "Choose a new or empty folder with --home.",
        "请用 --home 选择一个新的或空的目录。",
    ),
    "node.home-newer": Text(
        "The home {path} was made by a newer psc (layout {found}; this psc knows up to {known}).",
        "主目录 {path} 由更新版本的 psc 创建（布局 {found}；本版本最高支持 {known}）。",
        "Update psc on this machine.",
        "请升级本机的 psc。",
    ),
    "node.permissions-wide": Text(
        "{path} can be reached by other users of this machine (mode {found}).",
        "{path} 可被本机其他用户访问（权限 {found}）。",
        "Run: chmod {wanted} '{path}'. If others could read it until now, consider psc card --rotate.",
        "请执行：chmod {wanted} '{path}'。若此前可能已被他人读取，请考虑 psc card --rotate。",
    ),
    "node.disk-full": Text(
        "The disk or quota is full while writing {path}; nothing half-written was left.",
        "写入 {path} 时磁盘或配额已满；没有留下写了一半的文件。",
        "Free space and repeat.",
        "请释放空间后重试。",
    ),
    "node.path-forbidden": Text(
        "This user may not use {path}: {problem}.",
        "当前用户无权使用 {path}：{problem}。",
        "Run psc as the user that owns the home folder, on a disk that is mounted for writing.",
        "请以主目录所有者的身份运行 psc，并确认磁盘以可写方式挂载。",
    ),
    "node.path-unusable": Text(
        "{path} cannot be used: {problem}.",
        "{path} 无法使用：{problem}。",
        "Check that the path exists and the disk works.",
        "请检查路径是否存在、磁盘是否正常。",
    ),
    "node.store-locked": Text(
        "The store {path} was locked by another process for {seconds} seconds.",
        "存储 {path} 被其他进程锁定超过 {seconds} 秒。",
        "See which process holds it (a backup, a database tool) and repeat.",
        "请检查占用它的进程（备份、数据库工具等）后重试。",
    ),
    "node.store-damaged": Text(
        "The store {path} is damaged or not a store of psc: {problem}.",
        "存储 {path} 已损坏或不是 psc 的存储：{problem}。",
        "Restore the home folder from a backup; quotas charged since then are lost with it.",
        "请从备份恢复主目录；此后记录的配额用量会随之丢失。",
    ),
    "node.store-closed": Text(
        "The store {path} was used after it was closed.",
        "存储 {path} 关闭后又被使用。",
        "Open the node again.",
        "请重新打开节点。",
    ),
}

_SETTINGS: dict[str, Text] = {
    "node.settings-unreadable": Text(
        "The settings in {file} cannot be read: {problem}.",
        "无法读取 {file} 中的设置：{problem}。",
        'Mend the file; it is TOML, a line such as name = "merchant".',
        '请修正该文件；其格式为 TOML，例如一行 name = "merchant"。',
    ),
    "node.setting-unknown": Text(
        "There is no setting {name} ({place}).",
        "没有名为 {name} 的设置（{place}）。",
        "Remove it, or compare its name with docs/guides/deployment.md.",
        "请删除，或对照 docs/guides/deployment.md 更正名称。",
    ),
    "node.setting-missing": Text(
        "The setting {name} is missing ({place}).",
        "缺少设置 {name}（{place}）。",
        'Add it to node.toml, for instance: {name} = "…"',
        '请在 node.toml 中补上，例如：{name} = "…"',
    ),
    "node.setting-wrong": Text(
        "The setting {name} is wrong ({place}): {problem}.",
        "设置 {name} 有误（{place}）：{problem}。",
        "Give it another value; docs/guides/deployment.md has an example of each setting.",
        "请换一个值；docs/guides/deployment.md 中有各项设置的示例。",
    ),
    "node.name-wrong": Text(
        "{name!r} cannot be the name of a {what}: at most 64 letters or digits of any script, with . _ - inside.",
        "{name!r} 不能用作名称（{what}）：最多 64 个任意文字的字母或数字，中间可用 . _ -。",
        "Choose another, such as courier-east.",
        "请换一个名称，例如 courier-east。",
    ),
    "node.run-id-wrong": Text(
        "{run_id!r} is not a run id.", "{run_id!r} 不是运行编号。", "See psc runs list.", "请查看 psc runs list。"
    ),
    "node.time-wrong": Text(
        "{value!r} is neither a date nor a UTC time.",
        "{value!r} 既不是日期也不是 UTC 时间。",
        "Write 2026-11-21 or 2026-11-21T17:00:00Z.",
        "请写成 2026-11-21 或 2026-11-21T17:00:00Z。",
    ),
}

_KEYS: dict[str, Text] = {
    "node.key-damaged": Text(
        "The key file {path} is damaged or belongs to another identity.",
        "密钥文件 {path} 已损坏或属于其他身份。",
        "Restore it from a backup. Without the identity key partners must pin a new node.",
        "请从备份恢复。没有身份密钥时，合作方必须重新固定一个新节点。",
    ),
    "node.signature-wrong": Text(
        "A {kind} is not signed by the identity {identity}.",
        "一份 {kind} 文件的签名不属于身份 {identity}。",
        "It was changed on its way, or someone else made it: do not use it.",
        "文件在途中被改动或由他人制作：请勿使用。",
    ),
    "node.authority-expired": Text(
        "This node's own TLS authority is past its end.",
        "本节点自有的 TLS 签发机构已过期。",
        "Run psc card --rotate and send the new card to the partners.",
        "请运行 psc card --rotate，并把新名片发给合作方。",
    ),
    "node.peer-certificate-malformed": Text(
        "The other side's certificate cannot be read.",
        "无法解析对方的证书。",
        "Ask the partner to run psc doctor.",
        "请对方运行 psc doctor。",
    ),
    "node.peer-certificate-unknown": Text(
        "The other side's certificate belongs to no partner that this node trusts.",
        "对方的证书不属于本节点信任的任何合作方。",
        "If the partner rotated its identity or changed its certificates, ask for its new card: psc trust CARD_FILE.",
        "若合作方更换了身份或证书，请索取新名片：psc trust 名片文件。",
    ),
    "node.peer-certificate-expired": Text(
        "The partner's certificate is past its end (here it is {now}).",
        "合作方的证书已过期（本机时间 {now}）。",
        "Compare both clocks; then the partner restarts psc, which renews its certificate.",
        "请核对双方时钟；然后请合作方重启 psc 以更新证书。",
    ),
    "node.peer-certificate-not-yet-valid": Text(
        "The partner's certificate is not valid yet (here it is {now}).",
        "合作方的证书尚未生效（本机时间 {now}）。",
        "Compare both clocks: they may differ by 5 minutes.",
        "请核对双方时钟：允许相差 5 分钟。",
    ),
    "node.company-file-malformed": Text(
        "{file}, named in [tls] of node.toml, holds no PEM certificate or key that can be read.",
        "node.toml 的 [tls] 所指的 {file} 中没有可读的 PEM 证书或密钥。",
        "Export it as PEM; the key without a password.",
        "请导出为 PEM 格式；密钥不加密码。",
    ),
    "node.company-key-other": Text(
        "The key {file} does not belong to the certificate {certificate}.",
        "密钥 {file} 与证书 {certificate} 不匹配。",
        "Name the pair that belongs together in [tls].",
        "请在 [tls] 中填写成对的证书和密钥。",
    ),
    "node.company-certificate-nameless": Text(
        "The certificate {file} carries no DNS name that partners could check (wildcards and .psc names do not count).",
        "证书 {file} 中没有合作方可以核对的 DNS 名称（通配符和 .psc 名称不算）。",
        "Ask the company CA for a certificate with a DNS name of its own.",
        "请向公司 CA 申请带有专用 DNS 名称的证书。",
    ),
    "node.company-certificate-issuer": Text(
        "The certificate {file} does not follow from {authority}, or does not allow client and server authentication.",
        "证书 {file} 无法由 {authority} 验证，或不允许同时用于客户端和服务器认证。",
        "Put its issuer's root and intermediate certificates into the authority file; check the certificate's purposes.",
        "请把签发者的根证书和中间证书放入 authority 文件，并检查证书用途。",
    ),
    "node.company-certificate-expired": Text(
        "The company certificate {file} is past its end.",
        "公司证书 {file} 已过期。",
        "Put a new one in its place.",
        "请换上新证书。",
    ),
    "node.company-certificate-not-yet-valid": Text(
        "The company certificate {file} is not valid yet.",
        "公司证书 {file} 尚未生效。",
        "Check this machine's clock.",
        "请检查本机时钟。",
    ),
}

_CARDS: dict[str, Text] = {
    "node.card-file-missing": Text(
        "There is no card file {file}.",
        "找不到名片文件 {file}。",
        "Ask the partner for the file that psc card --output CARD_FILE writes.",
        "请向合作方索取 psc card --output 名片文件 写出的文件。",
    ),
    "node.card-malformed": Text(
        "{file} is not a card of psc: its part {where} is missing or wrong.",
        "{file} 不是 psc 名片：其中 {where} 缺失或有误。",
        "Ask the partner to write it again: psc card --output CARD_FILE.",
        "请合作方重新写出：psc card --output 名片文件。",
    ),
    "node.card-not-json": Text(
        "{file} is not a card of psc: it is not JSON.",
        "{file} 不是 psc 名片：它不是 JSON。",
        "Ask the partner to write it again: psc card --output CARD_FILE.",
        "请合作方重新写出：psc card --output 名片文件。",
    ),
    "node.card-fingerprint-other": Text(
        "The card of {name} has the fingerprint {fingerprint}, not {expected}; nothing was pinned.",
        "{name} 的名片指纹是 {fingerprint}，而不是 {expected}；未固定任何内容。",
        "Telephone the partner: the card was exchanged on its way, or the fingerprint was heard or typed wrongly.",
        "请致电合作方：名片可能在途中被调换，或指纹听错、输错。",
    ),
    "node.card-signature-wrong": Text(
        "A signature in the card {file} is not by the identity {identity}.",
        "名片 {file} 中有一个签名不属于身份 {identity}。",
        "It was changed on its way: ask the partner again, by another way.",
        "名片在途中被改动：请通过其他途径重新索取。",
    ),
    "node.card-own": Text(
        "The card of {name} is this node's own.",
        "{name} 的名片就是本节点自己的。",
        "Trust the partner's card.",
        "请信任合作方的名片。",
    ),
    "node.card-older": Text(
        "The card of {name} is older ({created}) than the one that is pinned ({pinned}).",
        "{name} 的名片（{created}）比已固定的名片（{pinned}）更旧。",
        "Ask the partner for its present card.",
        "请向合作方索取当前名片。",
    ),
    "node.name-own": Text(
        "{name} is this node's own name.",
        "{name} 是本节点自己的名称。",
        "One of the two must choose another name in node.toml and send its new card.",
        "双方之一须在 node.toml 中改名并发送新名片。",
    ),
    "node.name-taken": Text(
        "{name} is the name of another partner.",
        "{name} 是另一个合作方的名称。",
        "One of them must choose another name in node.toml and send its new card.",
        "其中一方须在 node.toml 中改名并发送新名片。",
    ),
    "node.identity-changed": Text(
        "{name} is pinned with the fingerprint {pinned}; this card has {identity}, and the old identity did not sign it.",
        "{name} 已固定的指纹是 {pinned}；此名片的指纹是 {identity}，且旧身份没有签署它。",
        "Telephone the partner. A true rotation is made with psc card --rotate; another company must take another name.",
        "请致电合作方核对。真正的更换由 psc card --rotate 完成；若是另一家公司，须改用其他名称。",
    ),
    "node.identity-retired": Text(
        "The card of {name} shows the identity {identity}, which the partner has since replaced.",
        "{name} 的名片使用身份 {identity}，合作方已更换该身份。",
        "Ask the partner for its present card.",
        "请向合作方索取当前名片。",
    ),
    "node.identity-taken": Text(
        "The card of {name} joins identities that are pinned as different partners.",
        "{name} 的名片把已固定为不同合作方的身份连在一起。",
        "Ask both partners which of them made it.",
        "请向两家合作方核实是谁制作的。",
    ),
    "node.tls-name-taken": Text(
        "The card of {name} has the certificate name {tls_name}, which {other} has already; callers could not be told apart.",
        "{name} 的名片使用证书名称 {tls_name}，而 {other} 已在使用；无法区分请求方。",
        "Each partner needs a certificate name of its own.",
        "每个合作方需要各自的证书名称。",
    ),
    "node.partner-unknown": Text(
        "There is no partner {name}; known: {known:|none yet}.",
        "没有名为 {name} 的合作方；已知：{known:|尚无}。",
        "Pin its card: psc trust CARD_FILE.",
        "请固定其名片：psc trust 名片文件。",
    ),
}

_DATASETS: dict[str, Text] = {
    "node.spec-wrong": Text(
        "{option} {spec!r} does not have the form {form}.",
        "{option} {spec!r} 的格式应为 {form}。",
        "For instance --key phone=mobile:phone, --release status:text:16, --release fee:int64, --value fee:decimal:2:0..999.99, "
        "--group city.",
        "例如 --key phone=mobile:phone、--release status:text:16、--release fee:int64、"
        "--value fee:decimal:2:0..999.99、--group city。",
    ),
    "node.spec-scale": Text(
        "--value {spec!r} needs a number of decimals, 0 to {limit}.",
        "--value {spec!r} 需要写明小数位数（0 至 {limit}）。",
        "For instance --value fee:decimal:2:0..999.99.",
        "例如 --value fee:decimal:2:0..999.99。",
    ),
    "node.spec-range": Text(
        "--value {spec!r} has no range LOW..HIGH of decimals with at most {scale} digits after the point.",
        "--value {spec!r} 缺少范围 最小值..最大值，且小数位数不得超过 {scale}。",
        "For instance --value orders:int64:0..1000, --value fee:decimal:2:-5.50..999.99.",
        "例如 --value orders:int64:0..1000、--value fee:decimal:2:-5.50..999.99。",
    ),
    "node.spec-range-wide": Text(
        "--value {spec!r} has a range that is empty or passes {limit}.",
        "--value {spec!r} 的范围为空或超过 {limit}。",
        "Write the smaller end first; choose a narrower range or fewer decimals.",
        "请先写较小的一端；并缩小范围或减少小数位数。",
    ),
    "node.spec-noise": Text(
        "{spec!r} is no noise MECHANISM:BUDGET; mechanisms: {mechanisms}; budget: 0.001 to 1000 with at most three decimals.",
        "{spec!r} 不是 机制:预算 形式的噪声；机制：{mechanisms}；预算为 0.001 至 1000，最多三位小数。",
        "For instance laplace:0.5 (epsilon of a run), gaussian:0.05 (rho of a run).",
        "例如 laplace:0.5（每次运行的 ε）、gaussian:0.05（每次运行的 ρ）。",
    ),
    "node.value-not-registered": Text(
        "The dataset {dataset} has no value {name}; registered: {known:|none yet}.",
        "数据集 {dataset} 没有数值列 {name}；已登记：{known:|尚无}。",
        "Choose a registered value; psc dataset show {dataset} lists them.",
        "请选用已登记的数值列；见 psc dataset show {dataset}。",
    ),
    "node.group-not-registered": Text(
        "The dataset {dataset} has no group column {name}; registered: {known:|none yet}.",
        "数据集 {dataset} 没有分组列 {name}；已登记：{known:|尚无}。",
        "Choose a registered group column; psc dataset show {dataset} lists them.",
        "请选用已登记的分组列；见 psc dataset show {dataset}。",
    ),
    "node.spec-kind": Text(
        "{kind!r} in --key {spec!r} is no kind of key; kinds: {kinds}.",
        "--key {spec!r} 中的 {kind!r} 不是键类型；可用：{kinds}。",
        "Choose one of them, as in --key phone=mobile:phone.",
        "请从中选择，例如 --key phone=mobile:phone。",
    ),
    "node.spec-type": Text(
        "{spec!r} names no type that exists here; types: {types}.",
        "{spec!r} 中没有可用的类型；可用：{types}。",
        "Choose one of them, as in --release fee:int64.",
        "请从中选择，例如 --release fee:int64。",
    ),
    "node.spec-width": Text(
        "--release {spec!r} needs a width in UTF-8 bytes, 1 to {limit}, as in status:text:16.",
        "--release {spec!r} 需要以 UTF-8 字节计的宽度（1 至 {limit}），例如 status:text:16。",
        "A Chinese character takes three bytes.",
        "一个汉字占三个字节。",
    ),
    "node.spec-not-plain": Text(
        "{option} {spec!r} has a control character or an invisible one in a name.",
        "{option} {spec!r} 的名称中含有控制字符或不可见字符。",
        "Leave it out; if the column of the table has it, rename the column.",
        "请去掉该字符；若数据表的列名含有它，请给该列改名。",
    ),
    "node.spec-reserved": Text(
        "--release {spec!r}: results have a column {name} of psc's own.",
        "--release {spec!r}：{name} 是 psc 结果自带的列名。",
        "Give it another name: NAME={name}:TYPE.",
        "请另取名称：名称={name}:类型。",
    ),
    "node.spec-twice": Text(
        "{option} names {name} twice.",
        "{option} 中 {name} 出现两次。",
        "Give each its own name, as in state=status:text:16.",
        "请使用不同的名称，例如 state=status:text:16。",
    ),
    "node.spec-many": Text(
        "{option} is given more than {limit} times.", "{option} 超过 {limit} 个。", "Leave some out.", "请减少数量。"
    ),
    "node.keys-missing": Text(
        "A dataset needs at least one key.",
        "数据集至少需要一个键。",
        "Name it: --key phone=COLUMN:phone.",
        "请指定：--key phone=列名:phone。",
    ),
    "node.rows-per-key-range": Text(
        "{value} rows per key are out of range.", "每键 {value} 行超出范围。", "Choose 1 to {limit}.", "请选择 1 至 {limit}。"
    ),
    "node.dataset-exists": Text(
        "The dataset {name} is registered already.",
        "数据集 {name} 已登记。",
        "Replace it with --replace, or choose another name.",
        "请用 --replace 替换，或换一个名称。",
    ),
    "node.dataset-unknown": Text(
        "There is no dataset {name}; registered: {known:|none yet}.",
        "没有名为 {name} 的数据集；已登记：{known:|尚无}。",
        "Register it: psc dataset add {name} --source FILE --key phone=COLUMN:phone.",
        "请登记：psc dataset add {name} --source 文件 --key phone=列:phone。",
    ),
    "node.key-not-registered": Text(
        "The dataset {dataset} has no key {name}; registered: {known:|none yet}.",
        "数据集 {dataset} 没有键 {name}；已登记：{known:|尚无}。",
        "Choose a registered key; psc dataset show {dataset} lists them.",
        "请选用已登记的键；见 psc dataset show {dataset}。",
    ),
    "node.column-not-registered": Text(
        "The dataset {dataset} has no releasable column {name}; registered: {known:|none yet}.",
        "数据集 {dataset} 没有可提供的列 {name}；已登记：{known:|尚无}。",
        "Choose a registered column; psc dataset show {dataset} lists them.",
        "请选用已登记的列；见 psc dataset show {dataset}。",
    ),
    "node.key-rows-many": Text(
        "{file}: one key ({key:|–}, row {row}) has {found} rows, more than the {bound} that were declared.",
        "{file}：键（{key:|–}，第 {row} 行）有 {found} 行，超过声明的 {bound} 行。",
        "Values are added up over all rows of a key: register with --max-rows-per-key {found} ({limit} at most), or add up rows "
        "of a key before.",
        "数值会对键的全部行求和：请以 --max-rows-per-key {found}（最大 {limit}）登记，或事先合并同一键的行。",
    ),
    "node.source-changed": Text(
        "The source {source} of the dataset {dataset} changed since it was registered.",
        "数据集 {dataset} 的来源 {source} 自登记后已改变。",
        "Register the new version: psc dataset add {dataset} --replace, with the same options.",
        "请登记新版本：psc dataset add {dataset} --replace，其余选项不变。",
    ),
    "node.rules-changed": Text(
        "The rules for keys or the number metadata on this machine are others than when the dataset {dataset} was registered.",
        "本机的键规则或号码元数据与数据集 {dataset} 登记时不同。",
        "Register it again: psc dataset add {dataset} --replace, with the same options.",
        "请重新登记：psc dataset add {dataset} --replace，其余选项不变。",
    ),
}

_RUNS: dict[str, Text] = {
    "node.run-unknown": Text(
        "There is no run {run_id}.", "没有编号为 {run_id} 的运行。", "See psc runs list.", "请查看 psc runs list。"
    ),
    "node.kept-damaged": Text(
        "What is kept of a run does not open: {path} was changed or damaged.",
        "所保留的运行数据无法打开：{path} 被改动或已损坏。",
        "Nothing is taken from it; ask again, and what is missing is computed again.",
        "不会采用其中任何内容；请重新请求，缺少的部分会重新计算。",
    ),
    "node.kept-elsewhere": Text(
        "Another session goes on with run {run_id}; this one ends.",
        "另一会话已接续运行 {run_id}；本会话结束。",
        "See psc runs list.",
        "请查看 psc runs list。",
    ),
    "node.run-exists": Text(
        "A run {run_id} is recorded here already.",
        "此处已记录运行 {run_id}。",
        "A question was sent twice or replayed; ask again with a new run.",
        "请求被重复发送或重放；请重新发起运行。",
    ),
    "node.run-ended": Text(
        "The run {run_id} has ended already ({status}).",
        "运行 {run_id} 已结束（{status}）。",
        "Nothing is left to cancel.",
        "无需取消。",
    ),
    "node.run-interrupted": Text(
        "The process of the run ended before the run did.",
        "运行尚未结束，其进程已终止。",
        "Start the run again.",
        "请重新发起运行。",
    ),
    "node.receipt-exists": Text(
        "Another receipt of run {run_id} is stored.",
        "运行 {run_id} 已存有另一份回执。",
        "Compare both with the partner.",
        "请与合作方核对两份回执。",
    ),
    "node.result-removed": Text(
        "The delivered result of run {run_id} is not at {path} any more.",
        "运行 {run_id} 的结果已不在 {path}。",
        "Restore it from a backup, or ask the partner to run again.",
        "请从备份恢复，或请合作方重新运行。",
    ),
    "node.unmasking-damaged": Text(
        "The record of unmasking {path} is damaged.",
        "取消遮盖的记录 {path} 已损坏。",
        "Restore it from a backup of the home.",
        "请从主目录的备份恢复。",
    ),
}

TEXTS: dict[str, Text] = {**_HOME, **_SETTINGS, **_KEYS, **_CARDS, **_DATASETS, **_RUNS}
