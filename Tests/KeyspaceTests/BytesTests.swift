import Keyspace
import Testing

struct BytesTests {
    @Test func `what is written is read, at any address`() throws {
        for padding in 0..<9 {
            var writer = ByteWriter()
            writer.write(bytes: Array(repeating: 0xFF as UInt8, count: padding))
            writer.write(1 as UInt8)
            writer.write(2 as UInt16)
            writer.write(3 as UInt32)
            writer.write(4 as UInt64)
            writer.write(-5 as Int64)
            writer.write("sechs ½")
            var reader = ByteReader(writer.bytes[padding...])
            #expect(reader.readUInt8() == 1)
            #expect(reader.readUInt16() == 2)
            #expect(reader.readUInt32() == 3)
            #expect(reader.readUInt64() == 4)
            #expect(reader.readInt64() == -5)
            #expect(reader.readString() == "sechs ½")
            #expect(reader.isAtEnd)
            #expect(reader.rest.isEmpty)
        }
    }

    @Test func `what is not there is nil, and takes nothing away`() {
        var reader = ByteReader([1, 2, 3, 4, 5, 6, 7, 8][1..<4])
        #expect(reader.readUInt32() == nil)
        #expect(reader.readInt64() == nil)
        #expect(reader.readBytes(count: 4) == nil)
        #expect(reader.readBytes(count: -1) == nil)
        #expect(reader.readBytes(count: .max) == nil)
        #expect(reader.readUInt16() == 0x0302)
        #expect(reader.readUInt16() == nil)
        #expect(reader.readUInt8() == 4)
        #expect(reader.readUInt8() == nil)
        #expect(reader.isAtEnd)
    }

    @Test func `a string is nil where its length lies or its bytes are no UTF-8`() {
        func string(_ bytes: [UInt8]) -> String? {
            var reader = ByteReader(bytes[...])
            return reader.readString()
        }
        #expect(string([0, 0, 0, 0]) == "")
        #expect(string([1, 0, 0, 0, 0x61]) == "a")
        #expect(string([2, 0, 0, 0, 0x61]) == nil)
        #expect(string([0xFF, 0xFF, 0xFF, 0xFF, 0x61]) == nil)
        #expect(string([2, 0, 0, 0, 0xC3, 0x28]) == nil)
        #expect(string([1, 0, 0]) == nil)
    }

    @Test func `a record carries its length, and whoever reads it ends there`() {
        var writer = ByteWriter()
        writer.writeRecord { $0.write(0x0201 as UInt16) }
        writer.writeRecord { _ in }
        #expect(writer.bytes == [2, 0, 0, 0, 1, 2, 0, 0, 0, 0])
        var reader = ByteReader(writer.bytes[...])
        var record = reader.readRecord()
        #expect(record?.readUInt32() == nil)
        #expect(record?.readUInt16() == 0x0201)
        #expect(record?.isAtEnd == true)
        #expect(reader.readRecord()?.isAtEnd == true)
        #expect(reader.readRecord() == nil)
    }
}
