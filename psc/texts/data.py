"""Texts of data: sources, cells, key kinds, outputs."""

from psc.texts._text import Text

_FILES: dict[str, Text] = {
    "data.file-missing": Text(
        "There is no file or folder {file}.",
        "找不到文件或文件夹 {file}。",
        "Check the path and the current folder.",
        "请检查路径和当前目录。",
    ),
    "data.file-not-readable": Text(
        "{file} may not be read by this user.",
        "当前用户无权读取 {file}。",
        "Grant read permission (chmod u+r), or run as the user who owns it.",
        "请授予读权限（chmod u+r），或以文件所有者身份运行。",
    ),
    "data.file-unreadable": Text(
        "{file} could not be read: {reason}.",
        "读取 {file} 失败：{reason}。",
        "Check the disk or the connection and try again.",
        "请检查磁盘或网络连接后重试。",
    ),
    "data.file-empty": Text(
        "{file} is empty: it has not even a header.",
        "{file} 是空文件，连表头都没有。",
        "Export it again; a table without rows still needs its header.",
        "请重新导出；没有数据行的表也需要表头。",
    ),
    "data.suffix-unknown": Text(
        "{file}: the suffix {suffix} names no format that is read.",
        "{file}：后缀 {suffix} 不是可读取的格式。",
        "Use one of {known}; save an Excel sheet as 'CSV UTF-8'.",
        "请使用 {known} 之一；Excel 表请另存为“CSV UTF-8”。",
    ),
    "data.url-unknown": Text(
        "{file}: no file system is known for this kind of URL.",
        "{file}：不认识这种 URL 的文件系统。",
        "Check what stands before '://'; fsspec names such as s3, gs, oss, https are known.",
        "请检查“://”之前的部分；可用 s3、gs、oss、https 等 fsspec 名称。",
    ),
    "data.fsspec-missing": Text(
        "{file} needs the package {package}, which is not installed.",
        "读取 {file} 需要未安装的软件包 {package}。",
        "Run: pip install {package}",
        "请运行：pip install {package}",
    ),
    "data.gzip-damaged": Text(
        "{file} is no complete gzip file.",
        "{file} 不是完整的 gzip 文件。",
        "Copy or export it again.",
        "请重新复制或导出。",
    ),
    "data.folder-empty": Text(
        "The folder {file} has no data files.",
        "文件夹 {file} 中没有数据文件。",
        "Names that begin with '.' or '_' do not count; put .csv or .parquet files into it.",
        "以“.”或“_”开头的文件不计入；请放入 .csv 或 .parquet 文件。",
    ),
    "data.folder-mixed": Text(
        "The folder {file} mixes formats: {one} and {other}.",
        "文件夹 {file} 中格式不一：{one} 与 {other}。",
        "Keep one format in a folder.",
        "一个文件夹请只放一种格式。",
    ),
    "data.folder-partitions": Text(
        "In the folder {file}, {one} and {other} lie in folders with different column=value names.",
        "文件夹 {file} 中，{one} 与 {other} 所在的“列=值”目录不一致。",
        "Use the same partition columns for all files.",
        "请让所有文件使用相同的分区列。",
    ),
    "data.folder-columns": Text(
        "{file} has no column {column}, which {other} has.",
        "{file} 没有列 {column}，而 {other} 有。",
        "All files of a folder need the same columns.",
        "同一文件夹中的文件必须有相同的列。",
    ),
    "data.folder-types": Text(
        "Column {column} is {two} in {file} but {one} in {other}.",
        "列 {column} 在 {file} 中是 {two}，在 {other} 中是 {one}。",
        "Write the files with one type; text is safest for numbers that are names.",
        "请用同一类型写出这些文件；编号类数据用文本最稳妥。",
    ),
    "data.folder-types-mixed": Text(
        "The files beside {file} have columns whose types do not fit together.",
        "与 {file} 同一文件夹的文件列类型无法合并。",
        "Write the files with the same types.",
        "请用相同类型写出这些文件。",
    ),
    "data.source-unsupported": Text(
        "A {type} is no table.",
        "{type} 不是可用的表。",
        "Pass a path, or an object with an Arrow stream: a pandas or polars frame, a pyarrow table.",
        "请传入路径，或带 Arrow 流的对象：pandas、polars 数据框，pyarrow 表。",
    ),
    "data.stream-failed": Text(
        "The Arrow stream of the {type} failed ({reason}).",
        "{type} 的 Arrow 流出错（{reason}）。",
        "Check that the object can still be read; a stream can be read only once.",
        "请确认该对象仍可读取；流只能读取一次。",
    ),
}

_CSV: dict[str, Text] = {
    "data.not-utf8": Text(
        "{file} is not UTF-8: line {line}, byte {byte} counted from the start of the file (it looks like "
        "{guess:|neither UTF-16 nor GB18030}).",
        "{file} 不是 UTF-8 编码：第 {line} 行，自文件开头起第 {byte} 字节（看起来是 {guess:|UTF-16 和 GB18030 以外的编码}）。",
        "Save it as 'CSV UTF-8', or run: iconv -f {guess:|ENCODING} -t UTF-8 OLD.csv > NEW.csv",
        "请另存为“CSV UTF-8”，或运行：iconv -f {guess:|原编码} -t UTF-8 旧.csv > 新.csv",
    ),
    "data.not-csv": Text(
        "{file} is named as a CSV file but holds {kind} data.",
        "{file} 以 CSV 命名，内容却是 {kind}。",
        "Rename it to its format, or save it as 'CSV UTF-8'.",
        "请按实际格式改名，或另存为“CSV UTF-8”。",
    ),
    "data.csv-separator": Text(
        "{file}: the header is one single name; the separator looks like {separator}.",
        "{file}：表头只有一个列名；分隔符看起来是 {separator}。",
        "Save it with commas between the fields, as 'CSV UTF-8'; a .tsv file has tabs.",
        "请另存为以逗号分隔的“CSV UTF-8”；.tsv 文件用制表符。",
    ),
    "data.csv-ragged": Text(
        "{file}, line {line}: {found} fields where the header has {expected}.",
        "{file} 第 {line} 行：有 {found} 个字段，表头有 {expected} 个。",
        "Mend the line; a field that holds a comma or a quote must stand in double quotes.",
        "请修正该行；含逗号或引号的字段须用双引号括起。",
    ),
    "data.csv-quote-open": Text(
        '{file}, line {line}: a quote (") is opened and never closed.',
        '{file} 第 {line} 行：双引号（"）未闭合。',
        "Close it, or double a quote that belongs to the text; check that the file is complete.",
        "请补上引号，文本中的引号须写两遍；并确认文件完整。",
    ),
    "data.csv-quote": Text(
        '{file}, line {line}: text follows the closing quote (") of a field.',
        '{file} 第 {line} 行：字段的结束引号（"）之后还有文字。',
        "Double a quote that belongs to the text.",
        "文本中的引号须写两遍。",
    ),
    "data.csv-row-too-long": Text(
        "{file}, line {line}: a row or a field is too long to be one.",
        "{file} 第 {line} 行：行或字段过长。",
        "Check for a missing closing quote, and that this is a CSV file.",
        "请检查是否缺少结束引号，以及文件是否为 CSV。",
    ),
    "data.csv-damaged": Text(
        "{file} cannot be read as CSV.",
        "无法按 CSV 读取 {file}。",
        "Export it again as CSV in UTF-8.",
        "请重新导出为 UTF-8 编码的 CSV。",
    ),
    "data.parquet-damaged": Text(
        "{file} is no Parquet file, or is damaged.",
        "{file} 不是 Parquet 文件，或已损坏。",
        "Copy or write it again; check that the copy was complete.",
        "请重新复制或写出，并确认复制完整。",
    ),
}

_COLUMNS: dict[str, Text] = {
    "data.column-missing": Text(
        "{file} has no column {column}.",
        "{file} 没有列 {column}。",
        "Its columns are: {available}",
        "现有的列：{available}",
    ),
    "data.column-missing-near": Text(
        "{file} has no column {column}.",
        "{file} 没有列 {column}。",
        "Did you mean {near}? Its columns are: {available}",
        "是否想用 {near}？现有的列：{available}",
    ),
    "data.header-missing": Text(
        "{file} seems to have no header line: what names its {count} columns looks like cells, and is not shown.",
        "{file} 似乎没有表头：其 {count} 个列名看起来像单元格内容，因此不予显示。",
        "Put a line with the column names first. If there is one, compare it with the names that were asked for, and rename "
        "columns whose names hold long numbers.",
        "请在第一行写上列名。若已有表头，请与所要求的列名核对，并更改含长数字的列名。",
    ),
    "data.column-twice": Text(
        "{file} has {count} columns named {column}.",
        "{file} 有 {count} 列同名为 {column}。",
        "Rename them so that the name is clear.",
        "请改名以免混淆。",
    ),
    "data.column-type": Text(
        "{file}: column {column} is of type {type} and cannot hold keys of kind {kind}.",
        "{file}：列 {column} 的类型是 {type}，不能作为 {kind} 类键。",
        "Keys are text or whole numbers: convert the column, or choose another.",
        "键须为文本或整数：请转换该列或改用其他列。",
    ),
    "data.column-type-keys": Text(
        "Cells of type {type} cannot be keys of kind {kind}.",
        "{type} 类型的单元格不能作为 {kind} 类键。",
        "Keys are text or whole numbers.",
        "键须为文本或整数。",
    ),
    "data.column-type-release": Text(
        "{file}: column {column} is of type {type} and cannot be released as {wanted}.",
        "{file}：列 {column} 的类型是 {type}，不能按 {wanted} 提供。",
        "Declare the type that it has, or convert the column.",
        "请声明其实际类型，或转换该列。",
    ),
    "data.column-damaged": Text(
        "{file}: column {column} holds damaged data.",
        "{file}：列 {column} 的数据已损坏。",
        "Write it again with the program that made it.",
        "请用原程序重新写出。",
    ),
    "data.cell-not-utf8": Text(
        "{file}: column {column}, row {row} is not UTF-8 (byte {byte} of the cell).",
        "{file}：列 {column} 第 {row} 行不是 UTF-8 编码（单元格第 {byte} 字节）。",
        "Decode the text with its real encoding (often GB18030) before you pass it.",
        "请先按实际编码（常为 GB18030）解码文本。",
    ),
    "data.cell-type": Text(
        "{file}: column {column}, row {row} holds a {type}.",
        "{file}：列 {column} 第 {row} 行是 {type}。",
        "A column holds texts or numbers: convert it with astype(str) or leave it out.",
        "列中应为文本或数字：请用 astype(str) 转换或去掉该列。",
    ),
    "data.value-type": Text(
        "{file}: column {column}, row {row} is no {wanted} ({count} such cells).",
        "{file}：列 {column} 第 {row} 行不是 {wanted}（共 {count} 个这样的单元格）。",
        "Mend the cells, or declare the column as text.",
        "请修正这些单元格，或将该列声明为 text。",
    ),
    "data.text-too-wide": Text(
        "{file}: column {column}, row {row} takes {found} bytes, more than its width {width} ({count} such cells).",
        "{file}：列 {column} 第 {row} 行占 {found} 字节，超过宽度 {width}（共 {count} 个这样的单元格）。",
        "Register the column with a larger width (a Chinese character takes 3 bytes), or shorten the texts.",
        "请用更大的宽度登记该列（一个汉字占 3 字节），或缩短文本。",
    ),
    "data.row-malformed": Text(
        "The partner sent a released row that does not parse: column {column}, {what}.",
        "对方发来的数据行无法解析：列 {column}，{what}。",
        "Nothing was written. Ask the partner which version of psc it runs.",
        "未写出任何结果。请询问对方使用的 psc 版本。",
    ),
}

_KEYS: dict[str, Text] = {
    "data.no-key": Text(
        "No key column was named.",
        "没有指定键列。",
        "Name at least one, for example --key phone=mobile.",
        "请至少指定一个，例如 --key phone=mobile。",
    ),
    "data.key-twice": Text("The key {key} is named twice.", "键 {key} 重复指定。", "Name each key once.", "每个键只指定一次。"),
    "data.kind-unknown": Text(
        "There is no key kind {kind}.", "没有键类型 {kind}。", "The kinds are: {kinds}", "可用类型：{kinds}"
    ),
    "data.region-unknown": Text(
        "{region} is no region with phone number rules.",
        "{region} 不是有号码规则的地区。",
        "Use a code of two capital letters, such as CN, HK or SG.",
        "请用两位大写地区代码，如 CN、HK、SG。",
    ),
    "data.bad-keys": Text(
        "{file}: {count} of {total} rows have no usable key in {columns}:\n{table}",
        "{file}：{total} 行中有 {count} 行在 {columns} 中没有可用的键：\n{table}",
        "\nMend the cells, or leave such rows out with --on-bad skip (--rejects FILE lists them).",
        "\n请修正这些单元格，或用 --on-bad skip 跳过（--rejects 文件 会列出它们）。",
    ),
    "data.bad-key-cells": Text(
        "{file}: {count} of {total} rows have a cell that is no key, or no key at all, in {columns}:\n{table}",
        "{file}：{total} 行中有 {count} 行在 {columns} 中的单元格不是有效的键，或没有任何键：\n{table}",
        "\nMend the cells, or let such rows pass with --on-bad skip (--rejects FILE lists them); a blank cell is none of these "
        "while the row has another key.",
        "\n请修正这些单元格，或用 --on-bad skip 放行（--rejects 文件 会列出它们）；若该行另有其他键，则空单元格不算在内。",
    ),
    "data.all-keys-bad": Text(
        "{file}: none of the {total} rows has a usable key in {columns}:\n{table}",
        "{file}：全部 {total} 行在 {columns} 中都没有可用的键：\n{table}",
        "\nCheck that this is the right column and the right kind.",
        "\n请检查列和键类型是否选对。",
    ),
    "data.check-report": Text(
        "{source}: {rows_total} rows, {rows_usable} with a usable key, {rejected_total} refused; "
        "{key_count} distinct keys, {repeated} of them in more than one row, at most {most} rows a key.",
        "{source}：共 {rows_total} 行，{rows_usable} 行键可用，{rejected_total} 行被拒；"
        "不同的键 {key_count} 个，其中 {repeated} 个出现多次，单个键最多 {most} 行。",
    ),
    "data.note-intermediary": Text(
        "A platform's intermediary (AXB) number cannot be told from a real one by its digits; such numbers count as keys.",
        "平台的中间号（AXB）从号码上无法与真实号码区分，会被当作键。",
    ),
    "data.note-virtual-operators": Text(
        "{virtual} rows have numbers of virtual operators (162, 165, 167, 170, 171): real subscribers, accepted.",
        "{virtual} 行是虚拟运营商号码（162、165、167、170、171）：属真实用户，予以接受。",
    ),
}

_VALUES: dict[str, Text] = {
    "data.value-column-type": Text(
        "{file}: column {column} is of type {type} and holds no numbers.",
        "{file}：列 {column} 的类型是 {type}，不是数值。",
        "Values are whole numbers, decimals, floats, truth values, or text of digits: convert the column, or choose another.",
        "数值列须为整数、小数、浮点数、真假值或数字文本：请转换该列或改用其他列。",
    ),
    "data.value-not-number": Text(
        "{file}: column {column}, row {row} is no number ({count} such {count:?cell|cells}).",
        "{file}：列 {column} 第 {row} 行不是数字（共 {count} 个这样的单元格）。",
        "Write digits with a point, as in -1234.50, without currency signs or separators of thousands; leave cells without a "
        "value empty.",
        "请写成带小数点的数字，例如 -1234.50，不带货币符号或千位分隔符；没有值的单元格请留空。",
    ),
    "data.value-not-whole": Text(
        "{file}: column {column}, row {row} has a fraction, and no scale was declared ({count} such {count:?cell|cells}).",
        "{file}：列 {column} 第 {row} 行带小数，而未声明小数位数（共 {count} 个这样的单元格）。",
        "Declare decimals: --value NAME:decimal:2:LOW..HIGH; for an own weight write the decimals after it: "
        "--select 'weighted_sum:NAME*VALUE:2'. Further ones are rounded, half to even.",
        "请声明小数位数：--value 名称:decimal:2:下限..上限；本方权重则写在其后：--select 'weighted_sum:名称*数值:2'。"
        "其余位数按“四舍六入五成双”舍入。",
    ),
    "data.value-imprecise": Text(
        "{file}: column {column}, row {row} is a float that has lost digits at {scale} {scale:?decimal|decimals} "
        "({count} such {count:?cell|cells}).",
        "{file}：列 {column} 第 {row} 行是在 {scale} 位小数下已丢失精度的浮点数（共 {count} 个这样的单元格）。",
        "Export the column as whole numbers, decimals or text, or declare fewer decimals.",
        "请将该列导出为整数、定点小数或文本，或声明更少的小数位数。",
    ),
    "data.value-range": Text(
        "{file}: column {column}, row {row} is outside {low}..{high} ({count} such {count:?cell|cells}).",
        "{file}：列 {column} 第 {row} 行超出 {low}..{high}（共 {count} 个这样的单元格）。",
        "Declare a wider range, or add :clip to the declaration: such values then count as the end of the range.",
        "请声明更大的范围，或在声明末尾加 :clip：超出的值按范围端点计算。",
    ),
    "data.weights-too-large": Text(
        "{file}: column {column} has numbers so large that the sum over {rows} {rows:?row|rows} of one key may pass 63 bits.",
        "{file}：列 {column} 的数值过大，单个键 {rows} 行之和可能超过 63 位。",
        "Use fewer decimals, or a larger unit.",
        "请减少小数位数，或改用更大的单位。",
    ),
    "data.statistic-too-large": Text(
        "{kind} of {column} over up to {rows} {rows:?row|rows} of a customer may pass 63 bits.",
        "{column} 的 {kind} 在单个客户最多 {rows} 行时可能超过 63 位。",
        "The owner of the data registers the value with a smaller range or fewer decimals, or fewer rows per key.",
        "请数据所有方以更小的范围、更少的小数位数或更少的每键行数登记该数值列。",
    ),
}

_GROUPS: dict[str, Text] = {
    "data.group-columns": Text(
        "The columns {columns} cannot group together: at most {limit}, each once.",
        "不能按列 {columns} 分组：最多 {limit} 列，每列一次。",
        "Leave some out.",
        "请减少列数。",
    ),
    "data.group-column-type": Text(
        "{file}: column {column} is of type {type} and holds no labels.",
        "{file}：列 {column} 的类型是 {type}，不能作为分组。",
        "Labels are text, whole numbers, truth values or dates: convert the column, or choose another.",
        "分组标签须为文本、整数、真假值或日期：请转换该列或改用其他列。",
    ),
    "data.group-cell": Text(
        "{file}: column {column}, row {row} is no text, whole number, truth value or date ({count} such {count:?cell|cells}).",
        "{file}：列 {column} 第 {row} 行不是文本、整数、真假值或日期（共 {count} 个这样的单元格）。",
        "Sort numbers into named ranges before, such as 0-99; cut moments to their day.",
        "请先把数字归入有名称的区间（例如 0-99），把时刻截为日期。",
    ),
    "data.group-null": Text(
        "{file}: column {column}, row {row} has no label ({count} such {count:?row|rows}).",
        "{file}：列 {column} 第 {row} 行没有标签（共 {count} 行）。",
        "Fill it, for instance with 'unknown': every customer is in one group.",
        "请填写，例如“未知”：每个客户都必须属于一个分组。",
    ),
    "data.group-not-plain": Text(
        "{file}: column {column}, row {row} has a control character or an invisible one ({count} such {count:?row|rows}).",
        "{file}：列 {column} 第 {row} 行含有控制字符或不可见字符（共 {count} 行）。",
        "Remove it: labels are shown to the partner.",
        "请去掉该字符：标签会显示给合作方。",
    ),
    "data.group-label-long": Text(
        "{file}: column {column}, row {row} is longer than the {limit} bytes of a label ({count} such {count:?row|rows}).",
        "{file}：列 {column} 第 {row} 行超过标签的 {limit} 字节（共 {count} 行）。",
        "Use short names for groups (a Chinese character takes 3 bytes).",
        "请使用简短的分组名称（一个汉字占 3 字节）。",
    ),
    "data.group-not-one": Text(
        "{file}: column {column} puts one key ({key:|–}) into two groups, at row {row} ({count} such {count:?key|keys}).",
        "{file}：列 {column} 在第 {row} 行把同一个键（{key:|–}）归入两个分组（共 {count} 个这样的键）。",
        "A customer is in one group: choose one label a key, for instance that of its last row, or match on more keys.",
        "每个客户只能属于一个分组：请为每个键选定一个标签（例如最后一行的），或使用更多的键。",
    ),
    "data.groups-many": Text(
        "{file}: {columns} makes {count} groups; at most {limit} are possible.",
        "{file}：{columns} 形成 {count} 个分组，最多 {limit} 个。",
        "Group by something coarser, such as a city instead of a street.",
        "请按更粗的类别分组，例如城市而不是街道。",
    ),
}

_CLASSES: dict[str, Text] = {
    "data.class.missing": Text("no value", "缺失"),
    "data.class.invalid": Text(
        "not valid for its kind; a phone: prefix or length is not assigned (number metadata of the region)",
        "不符合该类型；电话：号段或长度未分配（按该地区的号码元数据）",
    ),
    "data.class.extension": Text("number with an extension", "带分机号"),
    "data.class.masked": Text("digits are masked", "号码已打码"),
    "data.class.token": Text("expired or foreign token, no number", "已失效或他方的令牌，不是号码"),
    "data.class.service": Text("95-prefix or other service number", "95 号段等服务号码"),
    "data.class.checksum": Text("check character is wrong", "校验位错误"),
    "data.class.birth-date": Text("impossible date of birth", "出生日期不存在"),
    "data.class.region": Text("unknown region digits", "地区代码不存在"),
    "data.class.old-15-digit": Text("old number of 15 digits", "15 位旧号"),
    "data.class.imprecise": Text("float that has lost digits", "浮点数已丢失精度"),
    "data.class.length": Text("wrong length", "长度不符"),
    "data.class.alphabet": Text("characters that do not belong", "含不允许的字符"),
}

_OUTPUT: dict[str, Text] = {
    "data.output-suffix": Text(
        "{file}: the suffix names no format that is written.",
        "{file}：后缀不是可写出的格式。",
        "Use one of {known}.",
        "请使用 {known} 之一。",
    ),
    "data.output-is-folder": Text(
        "{file} is a folder.",
        "{file} 是文件夹。",
        "Name a file in it, such as {file}/matched.parquet.",
        "请指定其中的文件，例如 {file}/matched.parquet。",
    ),
    "data.output-folder-missing": Text(
        "{file} cannot be written: there is no folder {folder}.",
        "无法写出 {file}：没有文件夹 {folder}。",
        "Create it first: mkdir -p {folder}",
        "请先创建：mkdir -p {folder}",
    ),
    "data.output-not-writable": Text(
        "{file} cannot be written: the folder {folder} may not be written to.",
        "无法写出 {file}：文件夹 {folder} 不可写。",
        "Grant write permission, or choose another folder.",
        "请授予写权限或另选文件夹。",
    ),
    "data.disk-full": Text(
        "{file} was not written: the disk of {folder} is full or the quota used up. Nothing was left behind.",
        "{file} 未写出：{folder} 所在磁盘已满或配额用尽。没有留下残缺文件。",
        "Free space, or write to another disk, and run again.",
        "请释放空间或换一块磁盘后重新运行。",
    ),
    "data.output-failed": Text(
        "{file} was not written: {reason}. Nothing was left behind.",
        "{file} 未写出：{reason}。没有留下残缺文件。",
        "Check the disk and run again.",
        "请检查磁盘后重新运行。",
    ),
    "data.output-column-type": Text(
        "{file}: column {column} of type {type} cannot stand in a CSV file.",
        "{file}：{type} 类型的列 {column} 不能写入 CSV。",
        "Write Parquet, or leave the column out.",
        "请写成 Parquet，或去掉该列。",
    ),
}

TEXTS: dict[str, Text] = _FILES | _CSV | _COLUMNS | _KEYS | _VALUES | _GROUPS | _CLASSES | _OUTPUT
