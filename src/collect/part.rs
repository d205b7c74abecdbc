//! Parts: Parquet files, and the only place that knows them.
//!
//! Owns: the columns of a part, and what its footer says. Does not own: where a part ends (`slice`).
//!
//! A part has one row group, sorted by entity and then by time, and all steps of its time for each of its entities,
//! so the rows of an entity follow each other.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use parquet::basic::Compression;
use parquet::basic::ConvertedType;
use parquet::basic::Encoding;
use parquet::basic::LogicalType;
use parquet::basic::Repetition;
use parquet::basic::Type as Kind;
use parquet::basic::ZstdLevel;
use parquet::column::reader::ColumnReader;
use parquet::column::reader::get_typed_column_reader;
use parquet::data_type::ByteArray;
use parquet::data_type::ByteArrayType;
use parquet::data_type::DataType;
use parquet::data_type::DoubleType;
use parquet::data_type::Int64Type;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::EnabledStatistics;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::FileReader;
use parquet::file::serialized_reader::SerializedFileReader;
use parquet::file::writer::SerializedFileWriter;
use parquet::file::writer::SerializedRowGroupWriter;
use parquet::schema::types::ColumnPath;
use parquet::schema::types::Type;

use super::CollectError;
use super::files;
use super::known::Known;
use super::known::Marks;
use super::slice::Slice;
use crate::series::Entity;
use crate::series::Grid;
use crate::series::Window;
use crate::verdict::Verdict;
use crate::watch::Watch;
use crate::weak::State;

/// The first column: unix seconds.
pub(super) const TIME: &str = "t";

/// The columns of labels, in their order, with what they say.
pub(super) const LABELS: [(&str, &str); 6] = [
    ("weak_class", "class of the rule that fires, where it names one"),
    ("weak_state", "what rules say: firing (an anomaly) or pending (nobody knows)"),
    ("verdict", "what a person said: anomaly or normal"),
    ("class", "the kind of anomaly that the person named"),
    ("injected_class", "what was done to the servers, be it a fault or not"),
    ("injected_strength", "how strongly"),
];

/// Names that no feature and no entity label may have: in Parquet or in CSV they say something else.
const TAKEN: [&str; 3] = [TIME, "ts", "label"];

/// Values of a column that are written at once.
const BATCH: usize = 4_096;

/// Higher levels take longer and save little more.
const ZSTD_LEVEL: i32 = 6;

/// What a footer says, beside the columns.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Head {
    /// The digest of what was asked.
    pub(super) asked: String,
    /// Its first step, in unix seconds.
    pub(super) from_s: i64,
    /// One step after its last.
    pub(super) to_s: i64,
    pub(super) entities: usize,
    /// Queries that the source refused, with why.
    pub(super) failed: BTreeMap<String, String>,
    /// Whether the source said that it lacks data.
    pub(super) partial: bool,
}

impl Head {
    pub(super) fn new(asked: &str, slice: &Slice) -> Head {
        Head {
            asked: asked.to_string(),
            from_s: slice.grid.start_s,
            to_s: slice.grid.end_s(),
            entities: slice.windows.len(),
            failed: slice.failed.clone(),
            partial: slice.partial,
        }
    }

    fn pairs(&self) -> Vec<KeyValue> {
        let failed = serde_json::to_string(&self.failed).unwrap_or_default();
        let pairs = [
            ("portent.asked", self.asked.clone()),
            ("portent.from", self.from_s.to_string()),
            ("portent.to", self.to_s.to_string()),
            ("portent.entities", self.entities.to_string()),
            ("portent.failed", failed),
            ("portent.partial", self.partial.to_string()),
        ];
        pairs.into_iter().map(|(key, value)| KeyValue::new(key.to_string(), value)).collect()
    }

    fn read(pairs: &[KeyValue]) -> Option<Head> {
        let get = |key: &str| pairs.iter().find(|pair| pair.key == key)?.value.as_deref();
        Some(Head {
            asked: get("portent.asked")?.to_string(),
            from_s: get("portent.from")?.parse().ok()?,
            to_s: get("portent.to")?.parse().ok()?,
            entities: get("portent.entities")?.parse().ok()?,
            failed: serde_json::from_str(get("portent.failed")?).ok()?,
            partial: get("portent.partial")?.parse().ok()?,
        })
    }
}

/// The name of the part that begins at a time.
pub(super) fn file_name(from_s: i64) -> String {
    let stamp = Timestamp::from_second(from_s)
        .map_or_else(|_| from_s.to_string(), |time| time.strftime("%Y%m%dT%H%M%SZ").to_string());
    format!("part-{stamp}.parquet")
}

/// The parts of a folder in the order of time: each one's name and head.
pub(super) fn all(folder: &Path) -> Result<Vec<(String, Head)>, CollectError> {
    let is_part = |name: &String| name.starts_with("part-") && name.ends_with(".parquet");
    let mut parts = Vec::new();
    for name in files::names(folder)?.into_iter().filter(is_part) {
        let path = folder.join(&name);
        parts.push((name, head(&path).map_err(|error| CollectError::file(&path, error))?));
    }
    parts.sort_by_key(|(_, head)| head.from_s);
    Ok(parts)
}

/// # Errors
/// Two columns would have one name.
pub(super) fn check_names(watch: &Watch) -> Result<(), CollectError> {
    let labels = LABELS.iter().map(|(name, _)| *name);
    let mut known: Vec<&str> = TAKEN.into_iter().chain(labels).collect();
    let features = watch.features.iter().map(|feature| &feature.name);
    for name in watch.entity.iter().chain(features) {
        if known.contains(&name.as_str()) {
            return Err(CollectError::Refused(format!(
                "watch {}: {name:?} is the name of another column; wanted another name of the query or label",
                watch.name
            )));
        }
        known.push(name);
    }
    Ok(())
}

fn schema(watch: &Watch) -> Result<Type, ParquetError> {
    let number = |name: &str| {
        let column = Type::primitive_type_builder(name, Kind::DOUBLE);
        column.with_repetition(Repetition::OPTIONAL).build()
    };
    let text = |name: &str| {
        Type::primitive_type_builder(name, Kind::BYTE_ARRAY)
            .with_repetition(Repetition::OPTIONAL)
            .with_converted_type(ConvertedType::UTF8)
            .with_logical_type(Some(LogicalType::String))
            .build()
    };
    let time = Type::primitive_type_builder(TIME, Kind::INT64);
    let mut columns = vec![time.with_repetition(Repetition::REQUIRED).build()?];
    columns.extend(watch.entity.iter().map(|name| text(name)).collect::<Result<Vec<_>, _>>()?);
    let features = watch.features.iter().map(|feature| number(&feature.name));
    columns.extend(features.collect::<Result<Vec<_>, _>>()?);
    columns.extend(LABELS.iter().map(|(name, _)| text(name)).collect::<Result<Vec<_>, _>>()?);
    Type::group_type_builder("rows")
        .with_fields(columns.into_iter().map(Arc::new).collect())
        .build()
}

fn properties(watch: &Watch, made_by: &str, head: &Head) -> WriterProperties {
    let path = |name: &str| ColumnPath::from(name.to_string());
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL).unwrap_or_default()))
        .set_created_by(format!("portent {made_by}"))
        // A reader of a part wants all of it; an index of pages would be larger than what it finds.
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true)
        .set_key_value_metadata(Some(head.pairs()))
        .set_column_dictionary_enabled(path(TIME), false)
        .set_column_encoding(path(TIME), Encoding::DELTA_BINARY_PACKED);
    for feature in &watch.features {
        // First bytes beside first bytes: a fifth smaller than with a dictionary.
        properties = properties
            .set_column_dictionary_enabled(path(&feature.name), false)
            .set_column_encoding(path(&feature.name), Encoding::BYTE_STREAM_SPLIT);
    }
    properties.build()
}

/// Writes a part: of each entity what is known of its rows.
pub(super) fn write(
    file: &mut File,
    watch: &Watch,
    made_by: &str,
    head: &Head,
    windows: &BTreeMap<Entity, Window>,
    known: &BTreeMap<Entity, Known>,
) -> io::Result<()> {
    let schema = Arc::new(schema(watch)?);
    let properties = Arc::new(properties(watch, made_by, head));
    let mut writer = SerializedFileWriter::new(&mut *file, schema, properties)?;
    fill(writer.next_row_group()?, watch, windows, known)?;
    writer.close()?;
    Ok(())
}

fn fill<W: Write + Send>(
    group: SerializedRowGroupWriter<'_, W>,
    watch: &Watch,
    windows: &BTreeMap<Entity, Window>,
    known: &BTreeMap<Entity, Known>,
) -> Result<(), ParquetError> {
    let mut columns = Columns { group };
    let times = windows.values().flat_map(|w| (0..w.grid.len).map(|i| w.grid.time(i)));
    columns.add::<Int64Type>(times.map(Some), false)?;
    for name in &watch.entity {
        let text = |(entity, window): (&Entity, &Window)| {
            let text = entity.get(name).map(ByteArray::from);
            std::iter::repeat_n(text, window.grid.len)
        };
        columns.add::<ByteArrayType>(windows.iter().flat_map(text), true)?;
    }
    for feature in 0..watch.features.len() {
        let values = windows.values().flat_map(|w| (0..w.grid.len).map(move |i| w.row(i)[feature]));
        let number = |value: f64| value.is_finite().then_some(value);
        columns.add::<DoubleType>(values.map(number), true)?;
    }
    let none = Known::default();
    for column in 0..LABELS.len() {
        let cells = windows.iter().flat_map(|(entity, window)| {
            let known = known.get(entity).unwrap_or(&none);
            let cell = move |i: usize| mark(known.at(window.grid.time(i)), column);
            (0..window.grid.len).map(cell)
        });
        columns.add::<ByteArrayType>(cells.map(|text| text.map(ByteArray::from)), true)?;
    }
    columns.group.close()?;
    Ok(())
}

/// One of [`LABELS`].
fn mark(marks: Marks<'_>, column: usize) -> Option<&str> {
    let Marks { weak_class, weak_state, verdict, class, injected_class, injected_strength } = marks;
    let all = [
        weak_class,
        weak_state.map(State::as_str),
        verdict.map(Verdict::as_str),
        class,
        injected_class,
        injected_strength,
    ];
    all.get(column).copied().flatten()
}

/// The columns of a part, one after the other.
struct Columns<'a, W: Write + Send> {
    group: SerializedRowGroupWriter<'a, W>,
}

impl<W: Write + Send> Columns<'_, W> {
    /// Writes the next column, some values at a time.
    fn add<T: DataType>(
        &mut self,
        cells: impl Iterator<Item = Option<T::T>>,
        optional: bool,
    ) -> Result<(), ParquetError> {
        let missing = || ParquetError::General("more columns than the schema has".to_string());
        let mut column = self.group.next_column()?.ok_or_else(missing)?;
        let (mut values, mut levels) = (Vec::with_capacity(BATCH), Vec::with_capacity(BATCH));
        let mut cells = cells.peekable();
        while cells.peek().is_some() {
            values.clear();
            levels.clear();
            for cell in cells.by_ref().take(BATCH) {
                levels.push(i16::from(cell.is_some()));
                values.extend(cell);
            }
            let levels = optional.then_some(levels.as_slice());
            column.typed::<T>().write_batch(&values, levels, None)?;
        }
        column.close()
    }
}

/// What the footer of a part says.
pub(super) fn head(path: &Path) -> io::Result<Head> {
    head_of(&SerializedFileReader::new(File::open(path)?)?)
}

fn head_of(reader: &SerializedFileReader<File>) -> io::Result<Head> {
    let pairs = reader.metadata().file_metadata().key_value_metadata();
    let head = pairs.and_then(|pairs| Head::read(pairs));
    head.ok_or_else(|| {
        io::Error::other("no part of `portent collect`; wanted none but its own files")
    })
}

/// Reads the features of a part: of each entity all steps.
pub(super) fn read(path: &Path, watch: &Watch) -> io::Result<BTreeMap<Entity, Window>> {
    let reader = SerializedFileReader::new(File::open(path)?)?;
    let head = head_of(&reader)?;
    let grid = Grid::covering(head.from_s, head.to_s, watch.step_s);
    let (n_rows, n_features) = (grid.len * head.entities, watch.features.len());
    let group = reader.get_row_group(0)?;
    let mut place = 0;
    let mut next = || {
        place += 1;
        group.get_column_reader(place - 1)
    };
    let times = cells::<Int64Type>(next()?, n_rows, false)?;
    let whole = times.iter().enumerate().all(|(i, t)| *t == Some(grid.time(i % grid.len.max(1))));
    if !whole || times.len() != n_rows {
        return Err(io::Error::other("not the rows that its footer tells of"));
    }
    let mut pairs: Vec<Vec<(String, String)>> = vec![Vec::new(); head.entities];
    for name in &watch.entity {
        let texts = cells::<ByteArrayType>(next()?, n_rows, true)?;
        for (pairs, text) in pairs.iter_mut().zip(texts.into_iter().step_by(grid.len.max(1))) {
            if let Some(text) = text {
                pairs.push((name.clone(), text.as_utf8()?.to_string()));
            }
        }
    }
    let mut windows = vec![Window::gaps(grid, n_features); head.entities];
    for feature in 0..n_features {
        let values = cells::<DoubleType>(next()?, n_rows, true)?;
        for (i, value) in values.into_iter().enumerate() {
            let (entity, row) = (i / grid.len.max(1), i % grid.len.max(1));
            windows[entity].row_mut(row)[feature] = value.unwrap_or(f64::NAN);
        }
    }
    Ok(pairs.into_iter().map(Entity::new).zip(windows).collect())
}

/// All cells of a column.
fn cells<T: DataType>(
    column: ColumnReader,
    n_rows: usize,
    optional: bool,
) -> Result<Vec<Option<T::T>>, ParquetError> {
    let mut column = get_typed_column_reader::<T>(column);
    let mut cells = Vec::with_capacity(n_rows);
    let (mut values, mut levels) = (Vec::new(), Vec::new());
    loop {
        values.clear();
        levels.clear();
        let into = optional.then_some(&mut levels);
        let (n_records, ..) = column.read_records(BATCH, into, None, &mut values)?;
        if n_records == 0 {
            return Ok(cells);
        }
        if !optional {
            cells.extend(values.drain(..).map(Some));
            continue;
        }
        let mut known = values.drain(..);
        cells.extend(levels.iter().map(|level| if *level > 0 { known.next() } else { None }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::asked::Fault;
    use crate::collect::slice::tests::watch;
    use crate::verdict::Interval;

    #[test]
    fn what_was_written_is_read() {
        let watch = watch(30, None);
        let grid = Grid { start_s: 1_790_000_010, step_s: 30, len: 5_000 };
        let entity = |port: &str| Entity::new([("port", port)]);
        let mut windows = BTreeMap::new();
        for (n, port) in ["a", "b \"c\", ü", ""].into_iter().enumerate() {
            let mut window = Window::gaps(grid, 2);
            for i in (0..grid.len).filter(|i| i % 7 > 0) {
                let inf = if i % 5 == 0 { f64::INFINITY } else { i as f64 / 3.0 };
                window.row_mut(i).copy_from_slice(&[(n * i) as f64, inf]);
            }
            windows.insert(entity(port), window);
        }
        let failed = BTreeMap::from([("out".to_string(), "no \"such\" thing".to_string())]);
        let slice = Slice { grid, windows, failed, partial: false };
        let head = Head::new("abc", &slice);
        let fault = Fault {
            interval: Interval { from_s: grid.time(10), to_s: grid.time(20) },
            injected: Some("delay".into()),
            strength: None,
            verdict: Verdict::Anomaly,
            class: None,
        };
        let known = Known { injected: vec![fault], ..Known::default() };
        let known = BTreeMap::from([(entity("a"), known)]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(file_name(grid.start_s));
        assert!(path.ends_with("part-20260921T141330Z.parquet"), "{}", path.display());
        let mut file = File::create(&path).unwrap();
        write(&mut file, &watch, "0", &head, &slice.windows, &known).unwrap();
        assert_eq!(super::head(&path).unwrap(), head);
        let read = read(&path, &watch).unwrap();
        assert_eq!(read.keys().collect::<Vec<_>>(), slice.windows.keys().collect::<Vec<_>>());
        for (entity, window) in &slice.windows {
            let finite = |value: &f64| if value.is_finite() { *value } else { f64::NAN };
            let wanted: Vec<u64> = window.values.iter().map(|v| finite(v).to_bits()).collect();
            let found: Vec<u64> = read[entity].values.iter().map(|v| v.to_bits()).collect();
            assert_eq!((read[entity].grid, found), (grid, wanted), "{entity}");
        }
        let reader = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
        let rows = reader.get_row_iter(None).unwrap().map(|row| row.unwrap().to_string());
        let delayed =
            rows.filter(|row| row.contains("injected_class: \"delay\"")).collect::<Vec<_>>();
        assert_eq!(delayed.len(), 10);
        assert!(
            delayed[0].contains("port: \"a\"") && delayed[0].contains("verdict: null"),
            "{}",
            delayed[0]
        );
        std::fs::write(&path, "no parquet").unwrap();
        assert!(super::head(&path).is_err());
    }

    #[test]
    fn a_name_that_is_another_columns_is_refused() {
        let mut watch = watch(30, None);
        check_names(&watch).unwrap();
        watch.features[0].name = "verdict".into();
        let error = check_names(&watch).unwrap_err().to_string();
        assert!(
            error.starts_with("watch ports: \"verdict\" is the name of another column"),
            "{error}"
        );
    }
}
